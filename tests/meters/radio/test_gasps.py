"""Last gasps in a mesh: the orderings that are known of them, over several seeds, and what ends them."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from meters.radio.frames import Frames
from meters.radio.mesh import Jam, Mesh
from meters.radio.parameters import load_parameters
from meters.radio.passage import Cause, DeliveryClass
from tests.meters.radio.suburb import HOLD_UP_S, QUALIFYING_S, START_S, mesh_of, outage, plots

METERS, SEEDS = 1_000, range(5)


@cache
def suburb(seed: int) -> tuple[Mesh, NDArray[np.float64]]:
    """Each outage tells it anew who has supply."""
    return mesh_of(METERS, seed), plots(METERS, seed)


def delivered(size: int, times: int) -> tuple[int, int]:
    """Gasps that arrive of those that are said, over all seeds."""
    arrived = 0
    for seed in SEEDS:
        mesh, positions_m = suburb(seed)
        arrived += sum(outage(mesh, positions_m, size, seed, about=about).delivered for about in range(times))
    return arrived, size * times * len(SEEDS)


def test_that_a_single_meter_is_heard_and_of_two_hundred_half_to_four_fifths() -> None:
    alone, few, many, most = (delivered(size, times) for size, times in ((1, 20), (10, 4), (200, 1), (400, 1)))
    assert alone[0] >= 0.95 * alone[1], alone
    assert 0.5 * many[1] <= many[0] <= 0.8 * many[1], (alone, few, many, most)
    # A small outage is heard better than a large one.
    shares = [arrived / said for arrived, said in (alone, few, many, most)]
    assert shares == sorted(shares, reverse=True), shares
    assert shares[1] > shares[2] > shares[3]


def test_that_the_edge_of_an_outage_is_heard_better_than_its_centre() -> None:
    centre = edge = 0
    for seed in SEEDS:
        gasps = outage(*suburb(seed), 200, seed).passage.arrives
        here = gasps[:50].sum(), gasps[-50:].sum()
        assert here[0] < here[1], (seed, here)
        centre, edge = centre + here[0], edge + here[1]
    assert edge > 2 * centre, (centre, edge)


def test_that_only_neighbours_with_supply_relay() -> None:
    """Where all are dark the collector, on its battery, hears its direct neighbours and nobody else."""
    mesh = mesh_of(200, seed=3)
    direct = set(np.flatnonzero(mesh.hops == 1).tolist())
    gasps = outage(mesh, plots(200, 3), 200, seed=3)
    heard = gasps.passage.arrives
    assert 0 < heard.sum() < 100
    assert set(gasps.passage.hops[heard].tolist()) == {1}
    # A single transmission may succeed over a link that is too weak for a route.
    assert len(direct.intersection(gasps.dark[heard].tolist())) > heard.sum() / 2
    assert (gasps.passage.cause == Cause.DARK).sum() > 50
    # Nobody at all hears them when the collector is dead, too.
    mesh.supply(np.zeros(200, dtype=bool), collector_lit=False)
    silent = mesh.up(Frames.of(np.arange(200), START_S + 50.0, DeliveryClass.GASP, 1))
    assert not silent.arrives.any()
    assert set(silent.cause.tolist()) == {Cause.COLLECTOR}


def test_that_more_gasps_in_the_same_window_collide_more() -> None:
    together = apart = collided = 0
    for seed in SEEDS:
        mesh, positions_m = suburb(seed)
        others = np.random.default_rng(seed).permutation(METERS)[:500]
        crowded = outage(mesh, positions_m, 60, seed, crowd=others)
        alone = outage(mesh, positions_m, 60, seed, crowd=others, long_ago=True)
        together, apart = together + crowded.delivered, apart + alone.delivered
        collided += int((crowded.passage.cause == Cause.COLLISION).sum())
        assert crowded.delivered <= alone.delivered
    assert together < apart, (together, apart)
    assert collided > 0


def test_that_the_super_capacitor_ends_repetitions() -> None:
    counts = []
    for hold_up_s in (QUALIFYING_S - 1, QUALIFYING_S + 12, 90.0):
        of_all = [outage(*suburb(seed), 200, seed, hold_up_s=hold_up_s) for seed in SEEDS]
        counts.append(sum(each.delivered for each in of_all))
        if hold_up_s < QUALIFYING_S:
            assert not counts[0]
            assert all(set(each.passage.cause.tolist()) <= {Cause.ENERGY, Cause.DARK} for each in of_all)
            assert all(not each.passage.attempts.any() for each in of_all)
    assert counts[0] < counts[1] < counts[2], counts


def test_that_more_transmissions_are_heard_more() -> None:
    counts = []
    for transmissions in (1, 3):
        parameters = load_parameters({"mesh": {"gasp_transmissions": transmissions}})
        passages = [outage(mesh_of(METERS, seed, parameters), plots(METERS, seed), 200, seed).passage for seed in SEEDS]
        counts.append(sum(int(passage.arrives.sum()) for passage in passages))
        assert max(int(passage.attempts[~passage.arrives].max()) for passage in passages) == transmissions
    assert counts[0] < counts[1], counts


@pytest.mark.parametrize("delivery_class", [DeliveryClass.ALARM, DeliveryClass.READ])
def test_that_whatever_a_dark_meter_says_goes_the_way_of_gasps(delivery_class: DeliveryClass) -> None:
    mesh = mesh_of(100, seed=1)
    lit = np.ones(100, dtype=bool)
    lit[7] = False
    mesh.supply(lit)
    frame = Frames.of([7], float(START_S), delivery_class, 1)
    assert not mesh.up(frame, until_s=np.array([START_S - 1.0])).arrives.any()
    assert mesh.up(frame, until_s=np.array([START_S + 90.0])).arrives.all()
    assert not mesh.down(frame).arrives.any()


def test_that_a_jam_is_what_gasps_near_it_are_lost_by() -> None:
    mesh = mesh_of(200, seed=3)
    dark = np.arange(0, 200, 20)
    lit = np.ones(200, dtype=bool)
    lit[dark] = False
    mesh.supply(lit)
    gasps = Frames.of(dark, START_S + 50.0, DeliveryClass.GASP, 1)
    until_s = np.full(len(dark), START_S + HOLD_UP_S)
    assert mesh.up(gasps, until_s=until_s).arrives.all()
    # Nobody hears anything; or all but those around the collector hear, and can tell nobody.
    for radius_m in (np.inf, 60.0):
        mesh.jam([Jam((0.0, 0.0), radius_m)])
        passage = mesh.up(gasps, until_s=until_s)
        assert not passage.arrives.any()
        assert set(passage.cause.tolist()) == {Cause.JAMMED}
    # A jam elsewhere is no reason.
    mesh.jam([Jam((1e6, 0.0), 60.0)])
    alone = np.zeros(200, dtype=bool)
    mesh.supply(alone)
    assert Cause.JAMMED not in mesh.up(gasps, until_s=until_s).cause
