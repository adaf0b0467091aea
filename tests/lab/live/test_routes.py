"""How the live map says that meters are reached: as their own processes have it, and nothing of who is dark."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lab.fleet.commissioning import commission
from lab.fleet.geography import Place
from lab.fleet.network import network_setup
from lab.fleet.plan import FleetPlan
from lab.fleet.vendors import vendor_mix
from lab.live.routes import NO_WAY, OWN, TO_COLLECTOR, Routes
from meters.device.draws import meter_keys
from meters.device.facts import CollectedFacts
from meters.radio.faults import NetworkFault
from meters.radio.mesh import Mesh
from meters.radio.setup import NetworkSetup, innermost, station_place_m
from tests.frames import frame_of

SEED, START_S, STREET = 3, 1_768_435_200, 60


def plan_of(vendor: str, count: int = STREET) -> FleetPlan:
    """A street of houses, 40 m apart."""
    places = [Place(7.88 + 40.0 * row / 74_000, 48.46, "T1") for row in range(count)]
    points = [f"UP{row}" for row in range(count)]
    fleet = commission(
        points, places, vendor_mix({vendor: 1.0}), group="g", seed=SEED, new_gateway=lambda: "127.0.0.1:1"
    )
    return FleetPlan(list(range(count)), places, fleet)


def setup_of(plan: FleetPlan) -> NetworkSetup:
    return network_setup(plan.everybody.places, {}, time_zone="UTC", start_s=START_S)


def routes_of(plan: FleetPlan) -> Routes:
    return Routes(plan, setup_of(plan), seed=SEED, start_s=START_S)


def frame(count: int, dark: list[int], at_s: int = 0) -> bytes:
    energised = np.ones(count, dtype=bool)
    energised[dark] = False
    zero = np.zeros((count, 3))
    volts = np.where(energised[:, np.newaxis], 230.0, 0.0) * np.ones((count, 3))
    return frame_of(
        1, START_S + at_s, energised, active_power_w=zero, voltage_v=volts, closed=np.ones(count, dtype=bool)
    ).to_bytes()


def ways(document: dict[str, Any], without: tuple[int, ...] = ()) -> None:
    """Each meter with a way is as many hops from the collector as its parents say."""
    for row, (parent, hops) in enumerate(zip(document["parent"], document["hops"], strict=True)):
        if row in without:
            assert (parent, hops) == (NO_WAY, 0)
        elif parent != NO_WAY:
            assert hops == (1 if parent == TO_COLLECTOR else document["hops"][parent] + 1)


@pytest.mark.parametrize("vendor", ["sparkplug-mesh", "sparkplug-plc"])
def test_ways_lead_to_the_collector(vendor: str) -> None:
    document = routes_of(plan_of(vendor)).document(START_S, as_planned=False)
    ways(document)
    assert TO_COLLECTOR in document["parent"]
    assert max(document["hops"]) > 1


def test_they_are_those_of_the_meters_own_process() -> None:
    plan = plan_of("sparkplug-mesh")
    (rows,) = plan.fleet.carriers.values()
    positions_m = setup_of(plan).positions()[rows]
    first = innermost(positions_m)
    order = [first, *(row for row in range(len(rows)) if row != first)]
    serials = [plan.fleet.meters[rows[at]].serial for at in order]
    mesh = Mesh(
        positions_m[order],
        station_place_m(positions_m[order]),
        meter_keys(SEED, serials),
        setup_of(plan).parameters.mesh,
    )
    document = routes_of(plan).document(START_S, as_planned=False)
    assert [document["hops"][rows[at]] for at in order] == mesh.hops.tolist()
    assert [document["signal_dbm"][rows[at]] for at in order] == [round(value) for value in mesh.signal_dbm.tolist()]


def test_who_is_dark_relays_nobody_and_the_map_of_an_exercise_does_not_say_so() -> None:
    routes = routes_of(plan_of("sparkplug-mesh"))
    planned = routes.document(START_S, as_planned=False)
    dark = list(range(10, 20))
    routes.see_frame(frame(STREET, dark))
    now = routes.document(START_S, as_planned=False)
    ways(now, without=tuple(dark))
    assert not set(now["parent"]) & set(dark)
    assert routes.document(START_S, as_planned=True) == planned
    routes.see_frame(frame(STREET, []))
    assert routes.document(START_S, as_planned=False) == planned


def test_a_collector_in_the_dark_lives_as_long_as_its_battery() -> None:
    plan = plan_of("sparkplug-mesh")
    routes = routes_of(plan)
    facts = plan.fleet.meters[0].profile.facts
    assert isinstance(facts, CollectedFacts)
    battery_s = int(facts.collector_battery_s)
    (rows,) = plan.fleet.carriers.values()
    innermost_row = rows[innermost(setup_of(plan).positions()[rows])]
    routes.see_frame(frame(STREET, [innermost_row]))
    assert TO_COLLECTOR in routes.document(START_S, as_planned=False)["parent"]
    routes.see_frame(frame(STREET, [innermost_row], battery_s + 1))
    assert set(routes.document(START_S, as_planned=False)["parent"]) == {NO_WAY}


def test_nobody_has_a_way_to_a_collector_whose_hardware_is_dead() -> None:
    plan = plan_of("sparkplug-mesh")
    routes = routes_of(plan)
    planned = routes.document(START_S, as_planned=False)
    assert set(routes.document(START_S, dead=plan.fleet.carriers, as_planned=False)["parent"]) == {NO_WAY}
    assert routes.document(START_S, dead=plan.fleet.carriers, as_planned=True) == planned
    assert routes.document(START_S, as_planned=False) == planned


def fault(**given: Any) -> NetworkFault:
    return NetworkFault.model_validate({"from_s": START_S + 60, "until_s": START_S + 120, **given})


def test_a_jam_makes_ways_worse_for_as_long_as_it_lasts() -> None:
    plan = plan_of("sparkplug-mesh")
    routes = routes_of(plan)
    jam = [fault(fault="jam", collectors=list(plan.fleet.carriers), strength=0.5)]
    planned = routes.document(START_S, jam, as_planned=False)
    jammed = routes.document(START_S + 60, jam, as_planned=False)
    assert sum(jammed["through"]) < 0.7 * sum(planned["through"])
    assert routes.document(START_S + 60, jam, as_planned=True) == planned
    assert routes.document(START_S + 120, jam, as_planned=False) == planned


def test_a_cell_that_is_down_leaves_its_meters_without_a_way() -> None:
    routes = routes_of(plan_of("rl-dsp"))
    planned = routes.document(START_S, as_planned=False)
    cell = planned["cell"][0]
    down = routes.document(START_S + 60, [fault(fault="cell-down", cells=[cell])], as_planned=False)
    for own, before, after in zip(planned["cell"], planned["parent"], down["parent"], strict=True):
        assert after == (NO_WAY if own == cell else before)


def test_meters_with_a_modem_have_a_cell() -> None:
    document = routes_of(plan_of("rl-dsp")).document(START_S, as_planned=False)
    assert set(document["parent"]) <= {OWN, NO_WAY}
    assert all("/cell-" in cell for cell in document["cell"])
    assert all(40 < loss < 200 for loss in document["coupling_db"])
