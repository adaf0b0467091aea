"""Loads and generators as nets state them, on nets from SimBench and from files."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pytest
import simbench

from grid.calendar import ROWS
from grid.demand import Demand
from grid.feeder import FeederError, build_feeder, load_feeder
from grid.network import Network, evenly
from grid.profiles import ProfileError, known_profiles, load_profiles, named_profiles

NOON_IN_JUNE_S = 1_782_043_200  # 2026-06-21T12:00:00Z
MIDNIGHT_IN_JUNE_S = NOON_IN_JUNE_S - 43_200
THEIR_MIDNIGHT_IN_JUNE_S = 1_466_467_200  # 2016-06-21T00:00:00Z, in the year of the profiles


def theirs(net: Any, published: Any, table: str, element: int, column: str, longitude: float) -> Any:
    """(96,) of SimBench's own series from THEIR_MIDNIGHT_IN_JUNE_S on, each curve in the time of its rows."""
    ahead = round((longitude - 8.0) * 4 / 15)
    if table == "load":
        name = net.load["profile"].at[element]
        ahead = 8 if name.startswith(("H0-A", "H0-B", "H0-C", "H0-G", "H0-L", "Air_", "Soil_")) else 4
    start = (31 + 29 + 31 + 30 + 31 + 20) * 96 + ahead
    return published[table, column][element].to_numpy()[start : start + 96]


def test_a_simbench_net_takes_what_simbench_says() -> None:
    """SimBench's own function from profiles to powers is the reference, at each quarter of an hour of a day."""
    code = "1-LV-semiurb4--0-sw"
    net = simbench.get_simbench_net(code)
    published = simbench.get_absolute_values(net, profiles_instead_of_study_cases=True)
    feeder = load_feeder(f"simbench:{code}")
    demand = Demand.draw(feeder, seed=7)
    assert (feeder.name, len(feeder.usage_points), len(feeder.transformers)) == (f"simbench:{code}", 41, 1)
    (roof,) = net.sgen.index
    owner = [point.bus for point in feeder.usage_points].index(net.sgen["bus"].at[roof])
    series = partial(theirs, net, published, longitude=feeder.calendar.longitude)
    active_mw = np.column_stack([series("load", load, "p_mw") for load in feeder.load_index])
    active_mw[:, owner] -= series("sgen", roof, "p_mw")
    reactive_mvar = np.column_stack([series("load", load, "q_mvar") for load in feeder.load_index])
    actual = [demand.at(THEIR_MIDNIGHT_IN_JUNE_S + step * 900) for step in range(96)]
    np.testing.assert_allclose([active for active, _ in actual], active_mw * 1e6, atol=1e-6)
    np.testing.assert_allclose([reactive for _, reactive in actual], reactive_mvar * 1e6, atol=1e-6)
    assert demand.pv_kwp.tolist() == pytest.approx([6.48 if at == owner else 0.0 for at in range(41)])
    assert actual[48][0][owner] < 0, "it feeds in at noon"
    homes = net.load["profile"].loc[feeder.load_index].str.startswith("H0").to_numpy()
    assert (demand.business == ~homes).all()
    annual_kwh = published["load", "p_mw"].loc[:, feeder.load_index].sum().to_numpy() * 1e3 / 4
    np.testing.assert_allclose(demand.annual_kwh, annual_kwh, rtol=1e-9)


def test_storages_follow_simbench_as_well() -> None:
    """Scenarios 1 and 2 have storages at customers' buses; a storage counts as a load does."""
    code = "1-LV-rural1--1-sw"
    net = simbench.get_simbench_net(code)
    published = simbench.get_absolute_values(net, profiles_instead_of_study_cases=True)
    feeder = load_feeder(f"simbench:{code}")
    demand = Demand.draw(feeder, seed=7)
    assert set(net.storage["bus"]) <= {point.bus for point in feeder.usage_points}
    by_bus = sum(
        sign * theirs(net, published, table, element, "p_mw", feeder.calendar.longitude)
        for table, sign in (("load", 1), ("sgen", -1), ("storage", 1))
        for element in net[table].index
    )
    actual = [demand.at(THEIR_MIDNIGHT_IN_JUNE_S + step * 900)[0].sum() for step in range(96)]
    np.testing.assert_allclose(actual, by_bus * 1e6, atol=1e-6)


def test_a_storage_without_a_profile_keeps_its_power(net: Any) -> None:
    pp.create_storage(net, 5, p_mw=0.002, q_mvar=0.001, scaling=0.5, max_e_mwh=1.0, name="battery at c")
    pp.create_storage(net, 0, p_mw=-0.1, max_e_mwh=1.0, name="park")
    pp.create_storage(net, 4, p_mw=5.0, max_e_mwh=1.0, in_service=False)
    feeder = build_feeder("hamlet", net)
    assert feeder.behind_meter.owner.tolist() == [2]
    assert (feeder.behind_meter.active_power_w.tolist(), feeder.behind_meter.reactive_power_var.tolist()) == (
        [1e3],
        [500.0],
    )
    for time_s in (MIDNIGHT_IN_JUNE_S, NOON_IN_JUNE_S):
        demand = Demand.draw(feeder, seed=3)
        bulk = demand.bulk_at(time_s)
        assert bulk[0].tolist() == [-1e5]
        solution = Network(feeder).solve(*map(evenly, demand.at(time_s)), bulk=bulk)
        assert solution.source_power_w == pytest.approx(solution.load_w + solution.losses_w, abs=0.01)


def test_the_taps_of_simbench_count() -> None:
    """Two of three transformers have their taps at −1. Without them the low voltage is 0.944 to 0.976 pu."""
    net = load_feeder("simbench:1-MVLV-urban-5.303-0-sw").net
    assert net.trafo["tap_pos"].tolist() == [0.0, -1.0, -1.0]
    pp.runpp(net, numba=False)
    low = net.res_bus["vm_pu"][net.bus["vn_kv"] < 1]
    assert (low.min(), low.max()) == pytest.approx((0.961, 0.992), abs=1e-3)


def test_unknown_simbench_codes_are_answered_with_the_nearest() -> None:
    with pytest.raises(FeederError, match=r"no network '1-LV-semiurb4-0-sw'; .*1-LV-semiurb4--0-sw"):
        load_feeder("simbench:1-LV-semiurb4-0-sw")


def test_curves_by_name() -> None:
    assert {"H0-A", "lv_rural1"} <= known_profiles("load", scenario=0)
    assert {"PV3", "WP4", "BM1"} <= known_profiles("renewable")
    curves = named_profiles("load", ["H0-G", "H0-A"])
    households = load_profiles().households
    assert np.array_equal(curves.active[:, 1], households.active[:, households.names.index("H0-A")])
    assert named_profiles("renewable", []).active.shape == (ROWS, 0)
    with pytest.raises(ProfileError, match="H0-Z"):
        named_profiles("load", ["H0-Z"])


@pytest.fixture
def stated_net(net: Any) -> Any:
    """The hamlet, with a profile for a, unknown ones for b, a roof at c, a park and a mill that have no meter."""
    net.load["profile"] = ["H0-A", "X9", None, None]
    pp.create_load(net, 0, p_mw=0.2, q_mvar=0.1, name="factory", profile="G3-A")
    pp.create_load(net, 0, p_mw=0.1, q_mvar=0.0, name="works")
    pp.create_sgen(net, 5, p_mw=0.008, name="roof", type="PV")
    pp.create_sgen(net, 0, p_mw=0.5, name="park", profile="PV2")
    pp.create_sgen(net, 0, p_mw=0.3, q_mvar=0.05, scaling=0.5, name="mill")
    return net


def test_generators_are_behind_the_meter_where_there_is_one(stated_net: Any) -> None:
    feeder = build_feeder("hamlet", stated_net)
    demand = Demand.draw(feeder, seed=3)
    assert len(stated_net.sgen) == 3, "the given net stays as it is"
    assert demand.pv_kwp[2] >= 8.0
    assert feeder.behind_meter.owner.tolist() == [2]
    assert demand.connected[2].all()
    night, noon = demand.at(MIDNIGHT_IN_JUNE_S)[0], demand.at(NOON_IN_JUNE_S)[0]
    assert (night > 0).all()
    assert noon[2] < 0


def test_bulk_follows_its_profiles_and_else_holds_still(stated_net: Any) -> None:
    feeder = build_feeder("hamlet", stated_net)
    demand = Demand.draw(feeder, seed=3)
    factory = named_profiles("load", ["G3-A"])
    park = named_profiles("renewable", ["PV2"]).active
    # Sunday, 21 June 2026 is Sunday, 19 June 2016 for the factory, in standard time, and the sun's 21 June in UTC.
    for hour in (0, 12):
        time_s = MIDNIGHT_IN_JUNE_S + 3600 * hour
        row, sun = (170 * 24 + hour + 1) * 4, (172 * 24 + hour) * 4
        active, reactive = demand.bulk_at(time_s)
        park_w = -0.5e6 * park[sun, 0]
        assert active.tolist() == pytest.approx([0.2e6 * factory.active[row, 0], 0.1e6, park_w, -0.15e6])
        assert reactive.tolist() == pytest.approx([0.1e6 * factory.reactive[row, 0], 0.0, 0.0, -0.025e6])
        solution = Network(feeder).solve(*map(evenly, demand.at(time_s)), bulk=(active, reactive))
        assert solution.load_w == pytest.approx(demand.at(time_s)[0].sum() + active.sum())
        assert solution.source_power_w == pytest.approx(solution.load_w + solution.losses_w, abs=0.01)


def test_a_net_from_a_file_is_the_same_feeder(net: Any, tmp_path: Path) -> None:
    path = tmp_path / "hamlet.json"
    pp.to_json(net, str(path))
    feeder, same = load_feeder(f"file:{path}"), build_feeder("hamlet", net)
    assert feeder.name == "file:hamlet.json"
    assert feeder.usage_points == same.usage_points
    one, other = (Demand.draw(each, seed=1).at(NOON_IN_JUNE_S) for each in (feeder, same))
    assert np.array_equal(one[0], other[0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"\xff\xfe", "not UTF-8"),
        (b"bus;load\n1;2\n", "is not JSON"),
        (b'{"bus": []}', "not a pandapower net"),
        (b"[1, 2]", "not a pandapower net"),
        (b'{"_module": "pandapower.auxiliary", "_class": "pandapowerNet", "_object": 7}', "not a pandapower net"),
    ],
)
def test_files_that_are_no_feeder(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "net.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FeederError, match=message):
        load_feeder(f"file:{path}")


def test_tables_that_lack_columns_or_lead_nowhere_are_named(net: Any) -> None:
    net.switch.loc[0, "element"] = 77
    net.switch.loc[1, "et"] = "x"
    pp.create_ward(net, 0, 0.1, 0.0, 0.0, 0.0, name="w")
    with pytest.raises(FeederError) as caught:
        build_feeder("broken", net)
    message = str(caught.value)
    assert "'ward' in service, which is not supported; remove or replace: 0 'w'" in message
    assert "switch 0: element is not a line of the net" in message
    assert "switch 1: et is none of l, t, b" in message
    del net.load["p_mw"]
    with pytest.raises(FeederError, match="no column 'p_mw' in its table 'load'"):
        build_feeder("broken", net)


def test_a_saved_net_that_is_damaged_is_explained(net: Any, tmp_path: Path) -> None:
    path = tmp_path / "net.json"
    pp.to_json(net, str(path))
    document = json.loads(path.read_text(encoding="utf-8"))
    document["_object"]["load"]["_object"] = "not a table"
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(FeederError, match="the table 'load' cannot be read"):
        load_feeder(f"file:{path}")
