"""The default mesh and power line where the bundled feeder's houses stand: 1,506 of a German village."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from grid.feeder import load_feeder
from lab.fleet.geography import Place, areas
from meters.radio.frames import Frames
from meters.radio.mesh import Mesh
from meters.radio.parameters import load_parameters
from meters.radio.passage import DeliveryClass
from meters.radio.plc import PowerLine
from meters.radio.setup import metres, station_place_m
from tests.meters.radio.suburb import HOLD_UP_S, START_S, had_after_s, keys_of

WITHIN_S = {
    DeliveryClass.ALARM: (5, 100),
    DeliveryClass.CONTROL: (10, 150),
    DeliveryClass.SYSTEM: (30, 200),
    DeliveryClass.READ: (7_200, 960),
}
"""RFC 8036, 4.2: within so many seconds, of at most so many bytes; but reads are blocks of sixteen intervals."""
METERS_PER_COLLECTOR, METERS_PER_CONCENTRATOR = 200, 500


@cache
def village() -> tuple[list[Place], NDArray[np.float64]]:
    points = load_feeder("schutterwald").usage_points
    places = [Place(point.longitude, point.latitude, point.transformer) for point in points]
    return places, metres([point.longitude or 0.0 for point in points], [point.latitude or 0.0 for point in points])


def meshes(seed: int) -> list[Mesh]:
    places, positions_m = village()
    keys, parameters = keys_of(len(places), seed), load_parameters().mesh
    areas_of = [np.array(area) for area in areas(places, METERS_PER_COLLECTOR)]
    return [Mesh(positions_m[own], station_place_m(positions_m[own]), keys[own], parameters) for own in areas_of]


def test_that_the_default_mesh_has_a_few_hops_and_delivers_what_has_supply() -> None:
    hops: list[int] = []
    in_time = dict.fromkeys(WITHIN_S, 0)
    for seed in (1, 2):
        for mesh in meshes(seed):
            hops += mesh.hops.tolist()
            for delivery_class, (within_s, size_bytes) in WITHIN_S.items():
                frames = Frames.of(np.arange(len(mesh.hops)), START_S, delivery_class, START_S, size_bytes)
                in_time[delivery_class] += int((mesh.up(frames).arrives_s - START_S <= within_s).sum())
    assert len(hops) == 2 * 1_506
    assert all(count >= 0.98 * len(hops) for count in in_time.values()), in_time
    assert min(hops) >= 1
    assert 2 <= np.median(hops) <= 5
    assert np.quantile(hops, 0.99) <= 12
    # Some are far out.
    assert max(hops) >= 6


def test_that_a_village_of_which_few_are_metered_has_no_long_chains() -> None:
    _, positions_m = village()
    for seed in (1, 2):
        own = np.sort(np.random.default_rng(seed).permutation(len(positions_m))[:METERS_PER_COLLECTOR])
        place_m = station_place_m(positions_m[own])
        mesh = Mesh(positions_m[own], place_m, keys_of(len(own), seed), load_parameters().mesh)
        alarms = mesh.up(Frames.of(np.arange(len(own)), START_S, DeliveryClass.ALARM, START_S, 100))
        assert mesh.hops.max() <= 20
        assert (alarms.arrives_s - START_S <= 5).mean() >= 0.98


def test_that_each_mesh_of_the_village_has_an_image_overnight() -> None:
    image_bytes = load_parameters().firmware.image_bytes
    had_s = np.concatenate([had_after_s(mesh, image_bytes) for mesh in meshes(1)])
    assert 4 * 3_600 <= had_s.min() < had_s.max() <= 10 * 3_600


def test_that_of_an_outage_of_a_whole_collector_those_near_it_are_heard() -> None:
    heard = []
    for mesh in meshes(1):
        n = len(mesh.hops)
        mesh.supply(np.zeros(n, dtype=bool), now_s=START_S)
        gasps = Frames.of(np.arange(n), START_S, DeliveryClass.GASP, about=1)
        heard += mesh.up(gasps, until_s=np.full(n, START_S + HOLD_UP_S)).arrives.tolist()
    assert 0.15 <= np.mean(heard) <= 0.25


def test_that_blocks_of_reads_come_through_wherever_few_are_metered() -> None:
    places, positions_m = village()
    lost = sent = 0
    for seed in (3, 7):
        chosen = np.sort(np.random.default_rng(seed).permutation(len(positions_m))[:600])
        for area in areas([places[at] for at in chosen], METERS_PER_COLLECTOR):
            own = chosen[np.array(area)]
            mesh = Mesh(
                positions_m[own], station_place_m(positions_m[own]), keys_of(len(own), seed), load_parameters().mesh
            )
            for at_s in range(START_S, START_S + 86_400, 14_400):
                block = mesh.up(Frames.of(np.arange(len(own)), at_s, DeliveryClass.READ, at_s, 424))
                lost += int((~block.arrives).sum())
                sent += len(own)
    assert sent == 2 * 600 * 6
    assert lost <= 1e-3 * sent


def test_that_the_default_power_line_reads_them_within_the_hour() -> None:
    places, positions_m = village()
    keys, parameters = keys_of(len(places), 1), load_parameters().plc
    read = told = 0
    for area in areas(places, METERS_PER_CONCENTRATOR, within_transformer=True):
        own = np.array(area)
        line = PowerLine(
            positions_m[own], station_place_m(positions_m[own]), keys[own], parameters, start_s=START_S - 86_400
        )
        at_s = START_S + 68_400
        block, event = (
            line.up(Frames.of(np.arange(len(own)), at_s, delivery_class, at_s, 300))
            for delivery_class in (DeliveryClass.READ, DeliveryClass.ALARM)
        )
        read += int((block.arrives_s - at_s <= 3_600).sum())
        told += int((event.arrives_s - at_s <= 3_600).sum())
    assert read >= 0.98 * len(places)
    assert told >= 0.98 * len(places)
