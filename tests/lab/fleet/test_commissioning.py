"""Who gets whose meter, which collector or gateway carries it, and in which process it lives."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.fleet.commissioning import (
    METERS_PER_COLLECTOR,
    METERS_PER_GATEWAY,
    Commissioned,
    commission,
    processes,
)
from lab.fleet.geography import Place, areas
from lab.fleet.presets import PRESETS
from lab.fleet.shipment import ANYBODY
from lab.fleet.vendors import vendor_mix
from lab.services.external import ExternalBroker

degrees = st.floats(-60, 60, allow_nan=False)
places = st.lists(
    st.builds(Place, st.none() | degrees, st.none() | degrees, st.sampled_from(["T1", "T2", "T3"])), max_size=120
)


def village(points: int, transformers: int = 5) -> list[Place]:
    """Houses along streets, each of one transformer."""
    return [Place(8.0 + n % 40 / 1000, 48.0 + n // 40 / 1000, f"T{n * transformers // points}") for n in range(points)]


def fleet(preset: str, points: int, *, seed: int = 7, broker: ExternalBroker | None = None) -> Commissioned:
    ports = count(20_000)
    return commission(
        [f"UP{n}" for n in range(points)],
        village(points),
        vendor_mix(PRESETS[preset].shares),
        group="g",
        seed=seed,
        new_gateway=lambda: f"127.0.0.1:{next(ports)}",
        broker=broker,
    )


def test_a_usage_point_that_needs_more_than_a_meter_passes_gets_current_transformers() -> None:
    largest_w = [5_000.0, 69_000.0, 69_001.0, 400_000.0, 3e6]
    found = commission(
        [f"UP{n}" for n in range(5)],
        village(5),
        vendor_mix(PRESETS["cellular"].shares),
        group="g",
        seed=7,
        new_gateway=lambda: "127.0.0.1:1",
        largest_w=largest_w,
    )
    assert [meter.max_current_a for meter in found.meters] == [None, None, 125.0, 600.0, 5_000.0]


@given(places, st.integers(1, 50), st.booleans())
def test_areas_divide_all_places_and_keep_the_capacity(
    located: list[Place], capacity: int, within_transformer: bool
) -> None:
    found = areas(located, capacity, within_transformer=within_transformer)
    assert sorted(index for area in found for index in area) == list(range(len(located)))
    assert all(0 < len(area) <= capacity for area in found)
    if within_transformer:
        assert all(len({located[index].transformer for index in area}) == 1 for area in found)
    else:
        assert len(found) == -(-len(located) // capacity)
    assert found == areas(located, capacity, within_transformer=within_transformer)


def test_an_area_is_of_near_points() -> None:
    west = [Place(8.0, 48.0 + n / 1e4, "T1") for n in range(10)]
    east = [Place(9.0, 48.0 + n / 1e4, "T1") for n in range(10)]
    mixed = [place for pair in zip(west, east, strict=True) for place in pair]
    assert [{mixed[index].longitude for index in area} for area in areas(mixed, 10)] == [{8.0}, {9.0}]


def test_the_bake_off_has_its_shares() -> None:
    meters = fleet("bakeoff", 1000).meters
    shares = {
        name: sum(meter.profile.name == name for meter in meters) for name in ("rl-dsp", "sparkplug-mesh", "sdm630")
    }
    assert shares == {"rl-dsp": 300, "sparkplug-mesh": 650, "sdm630": 50}
    assert [meter.usage_point for meter in meters] == [f"UP{n}" for n in range(1000)]
    assert len({meter.serial for meter in meters}) == 1000


def test_the_seed_decides_who_gets_which_meter() -> None:
    def vendors(seed: int) -> list[str]:
        return [meter.profile.name for meter in fleet("bakeoff", 200, seed=seed).meters]

    assert vendors(7) == vendors(7)
    assert vendors(7) != vendors(8)


@pytest.mark.parametrize("points", [1, 2, 3, 5])
def test_a_small_fleet_has_each_vendor_if_it_can(points: int) -> None:
    assert len({meter.profile.name for meter in fleet("bakeoff", points).meters}) == min(points, 3)


def test_collectors_have_credentials_of_their_own_which_their_meters_share() -> None:
    found = fleet("mesh", 500)
    assert [len(meters) for meters in found.collectors.values()] == [167, 166, 167]
    assert max(len(meters) for meters in found.collectors.values()) <= METERS_PER_COLLECTOR
    for name, meters in found.collectors.items():
        assert {meter.address for meter in meters} == {name}
        assert {meter.username for meter in meters} == {f"g-{name}"}
    assert len({meter.password for meter in found.meters}) == 3
    assert found.connections == 3


def test_a_concentrator_stays_within_its_transformer() -> None:
    located = village(300)
    found = fleet("plc", 300)
    for rows in found.carriers.values():
        assert len({located[row].transformer for row in rows}) == 1
    assert len(found.carriers) == 5


def test_gateways_have_short_lines_and_no_credentials() -> None:
    found = fleet("bakeoff", 2000)
    lines = {name: rows for name, rows in found.carriers.items() if name not in found.collectors}
    assert all(len(rows) <= METERS_PER_GATEWAY for rows in lines.values())
    for name, rows in lines.items():
        assert [found.meters[row].address for row in rows] == [f"{name}/{unit}" for unit in range(1, len(rows) + 1)]
        assert {(found.meters[row].username, found.meters[row].password) for row in rows} == {("", "")}


def test_with_an_external_broker_all_connections_use_its_credentials() -> None:
    known = fleet("bakeoff", 100, broker=ExternalBroker("broker", 1883, "user", "secret"))
    assert {(m.username, m.password) for m in known.meters if m.profile.protocol != "modbus"} == {("user", "secret")}
    anybody = fleet("cellular", 1, broker=ExternalBroker("broker", 1883, None, None))
    assert (anybody.meters[0].username, anybody.meters[0].password) == (ANYBODY, ANYBODY)


@pytest.mark.parametrize("preset", ["bakeoff", "mesh", "cellular", "plc"])
def test_processes_keep_their_limit_and_what_a_collector_carries_together(preset: str) -> None:
    found = fleet(preset, 2500)
    shares = processes(found, 1000)
    assert sorted(row for share in shares for row in share) == list(range(2500))
    assert max(map(len, shares)) <= 1000
    for rows in found.carriers.values():
        assert sum(not set(rows).isdisjoint(share) for share in shares) == 1
    assert len(processes(found, 10_000)) == 1
