"""An RF mesh of meters with supply: routes, latency, losses, jamming; the same by seed however it is asked."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meters.radio.frames import Frames
from meters.radio.mesh import Jam, Mesh
from meters.radio.parameters import load_parameters
from meters.radio.passage import Cause, DeliveryClass, Passage
from tests.meters.radio.suburb import START_S, keys_of, mesh_of, plots

SEEDS = range(5)


def alarms(mesh: Mesh, rows: np.ndarray, times: int = 1) -> tuple[Passage, np.ndarray]:
    """So many of each row, and how long each took."""
    sent_s = START_S + 900.0 * np.repeat(np.arange(times), len(rows))
    about = np.repeat(np.arange(times), len(rows))
    passage = mesh.up(Frames.of(np.tile(rows, times), sent_s, DeliveryClass.ALARM, about))
    return passage, passage.arrives_s - sent_s


def test_that_a_nearer_meter_arrives_sooner() -> None:
    for seed in SEEDS:
        mesh = mesh_of(400, seed)
        _, took_s = alarms(mesh, np.arange(400), times=10)
        hops = np.tile(mesh.hops, 10)
        medians_s = [float(np.median(took_s[hops == count])) for count in range(1, 5)]
        assert medians_s == sorted(medians_s), (seed, medians_s)
        away_m = np.tile(np.hypot(*plots(400, seed).T), 10)
        near, far = away_m < np.quantile(away_m, 0.25), away_m > np.quantile(away_m, 0.75)
        assert np.median(took_s[near]) < np.median(took_s[far])


@pytest.mark.parametrize("delivery_class", [DeliveryClass.ALARM, DeliveryClass.CONTROL, DeliveryClass.SYSTEM])
def test_that_urgent_classes_arrive_as_rfc_8036_wants_them(delivery_class: DeliveryClass) -> None:
    within_s = {DeliveryClass.ALARM: 5.0, DeliveryClass.CONTROL: 10.0, DeliveryClass.SYSTEM: 30.0}[delivery_class]
    for seed in SEEDS:
        mesh = mesh_of(200, seed)
        for send in (mesh.up, mesh.down):
            passage = send(Frames.of(np.arange(200), float(START_S), delivery_class, 1, 150))
            assert (passage.arrives_s - START_S <= within_s).sum() >= 196


def test_that_reads_of_a_block_arrive_in_turn_and_within_two_hours() -> None:
    for seed in SEEDS:
        mesh = mesh_of(200, seed)
        passage = mesh.up(Frames.of(np.arange(200), float(START_S), DeliveryClass.READ, START_S, 960))
        took_s = passage.arrives_s - START_S
        assert (took_s <= 7_200).sum() >= 196
        on_time = passage.cause == Cause.ON_TIME
        assert (np.diff(took_s[on_time]) > 0).mean() > 0.9
        assert took_s[on_time].max() > 60


def test_that_an_alarm_does_not_wait_for_the_reads_of_a_block() -> None:
    mesh = mesh_of(200, seed=1)
    classes = np.where(np.arange(200) >= 190, int(DeliveryClass.ALARM), int(DeliveryClass.READ))
    took_s = mesh.up(Frames.of(np.arange(200), float(START_S), classes, START_S)).arrives_s - START_S
    assert took_s[190:].max() < 5 < 60 < took_s[180:190].min()


def test_that_routes_vanish_with_dark_neighbours_and_heal() -> None:
    mesh = mesh_of(200, seed=2)
    whole, parents = mesh.hops, mesh.parent.copy()
    relays, served = np.unique(parents[parents < 200], return_counts=True)
    relay = int(relays[served.argmax()])
    children = np.flatnonzero(parents == relay)
    before_s = alarms(mesh, children)[1]
    lit = np.ones(200, dtype=bool)
    lit[relay] = False
    mesh.supply(lit, now_s=START_S)
    assert relay not in mesh.parent[children]
    assert mesh.hops[relay] == 0
    assert (mesh.hops[children] > 0).all()
    passage, healing_s = alarms(mesh, children)
    assert set(passage.cause.tolist()) == {Cause.DARK}
    assert healing_s.mean() > before_s.mean()
    # Later they know their new way.
    sent_s = START_S + load_parameters().mesh.heal_s
    healed = mesh.up(Frames.of(children, sent_s, DeliveryClass.ALARM, 0))
    assert Cause.DARK not in healed.cause
    assert (healed.arrives_s - sent_s).mean() < healing_s.mean()
    mesh.supply(np.ones(200, dtype=bool))
    assert (mesh.parent == parents).all()
    assert (mesh.hops == whole).all()


def test_that_who_is_left_among_dark_ones_has_no_way() -> None:
    mesh = mesh_of(400, seed=1)
    far = int(np.hypot(*plots(400, 1).T).argmax())
    lit = np.zeros(400, dtype=bool)
    lit[far] = True
    mesh.supply(lit)
    assert mesh.hops[far] == 0
    assert mesh.parent[far] == -1
    passage = mesh.up(Frames.of([far], float(START_S), DeliveryClass.ALARM, 1))
    assert not passage.arrives.any()
    assert passage.cause.tolist() == [Cause.DARK]


def test_that_every_meter_has_a_way_when_all_have_supply() -> None:
    """Also where houses are far from each other."""
    positions_m = plots(60, 1) * 40
    mesh = Mesh(positions_m, np.zeros(2), keys_of(60, 1), load_parameters().mesh)
    assert (mesh.hops > 0).all()
    assert (mesh.link_quality >= load_parameters().mesh.least_link_success).all()
    assert alarms(mesh, np.arange(60))[0].arrives.all()
    # What is received is what the quality of the link says.
    assert np.isfinite(mesh.signal_dbm).all()
    assert (mesh.signal_dbm > load_parameters().mesh.sensitivity_dbm).all()
    assert (np.argsort(mesh.signal_dbm) == np.argsort(mesh.link_quality)).mean() > 0.5


def test_that_a_jammed_area_is_told_from_a_dark_one() -> None:
    positions_m = plots(400, 1)
    mesh = mesh_of(400, seed=1)
    clear = mesh.hops.copy()
    far = int(np.hypot(*positions_m.T).argmax())
    east, north = positions_m[far].tolist()
    mesh.jam([Jam((east, north), 120.0)])
    within = np.hypot(*(positions_m - positions_m[far]).T) <= 120.0
    passage, _ = alarms(mesh, np.arange(400))
    assert not passage.arrives[within].any()
    assert set(passage.cause[within].tolist()) == {Cause.JAMMED}
    assert passage.arrives[~within].sum() >= 0.95 * (~within).sum()
    mesh.jam([Jam((east, north), 120.0, strength=0.3)])
    weaker, _ = alarms(mesh, np.arange(400), times=3)
    assert weaker.arrives[np.tile(within, 3)].sum() > 2 * within.sum()
    assert Cause.JAMMED in weaker.cause[weaker.arrives]
    mesh.jam([Jam((0.0, 0.0), np.inf)])
    assert not mesh.hops.any()
    mesh.jam([])
    assert (mesh.hops == clear).all()


def test_that_nothing_passes_a_dead_collector() -> None:
    mesh = mesh_of(50, seed=1)
    mesh.supply(np.ones(50, dtype=bool), collector_lit=False)
    frames = Frames.of(np.arange(50), float(START_S), DeliveryClass.READ, START_S)
    for passage in (mesh.up(frames), mesh.down(frames)):
        assert not passage.arrives.any()
        assert set(passage.cause.tolist()) == {Cause.COLLECTOR}


def test_that_a_lost_acknowledgement_makes_a_frame_arrive_twice() -> None:
    mesh = mesh_of(400, seed=1, parameters=load_parameters({"mesh": {"hop_transmissions": 2}}))
    passage, _ = alarms(mesh, np.arange(400), times=5)
    twice = np.isfinite(passage.again_s)
    assert 0 < twice.sum() < 0.2 * len(twice)
    assert (passage.again_s[twice] > passage.arrives_s[twice]).all()
    assert passage.arrives[twice].all()


def test_that_frames_of_different_meters_overtake_each_other() -> None:
    mesh = mesh_of(100, seed=1)
    sent_s = START_S + 0.01 * np.arange(100)
    passage = mesh.up(Frames.of(np.arange(100), sent_s, DeliveryClass.ALARM, 1))
    assert (np.diff(passage.arrives_s) < 0).any()


@pytest.mark.parametrize("send", [Mesh.up, Mesh.down])
@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(60)), cut=st.integers(1, 59))
def test_that_a_passage_depends_on_neither_order_nor_company(
    send: Callable[[Mesh, Frames], Passage], order: list[int], cut: int
) -> None:
    mesh = mesh_of(60, seed=4)
    lit = np.ones(60, dtype=bool)
    lit[::7] = False
    mesh.supply(lit)

    def arrivals(rows: list[int]) -> list[float]:
        about = np.array(rows, dtype=np.int64) * 900
        arrives_s = send(mesh, Frames.of(rows, float(START_S), DeliveryClass.GASP, about)).arrives_s
        return [float(at_s) for at_s in arrives_s]

    together = dict(zip(range(60), arrivals(list(range(60))), strict=True))
    apart = [*arrivals(order[:cut]), *arrivals(order[cut:])]
    assert [together[row] for row in order] == apart


def test_that_what_is_sent_again_is_drawn_anew() -> None:
    mesh = mesh_of(200, seed=1, parameters=load_parameters({"mesh": {"hop_transmissions": 1, "end_to_end_tries": 1}}))
    first, second = (
        mesh.up(Frames.of(np.arange(200), sent_s, DeliveryClass.READ, START_S)).arrives
        for sent_s in (START_S, START_S + 14_400)
    )
    assert (~first).sum() > 0
    assert second[~first].any()
    again = mesh.up(Frames.of(np.arange(200), START_S, DeliveryClass.READ, START_S)).arrives
    assert (again == first).all()


def test_that_longer_frames_take_longer_and_are_lost_more() -> None:
    parameters = load_parameters({"mesh": {"hop_transmissions": 1, "end_to_end_tries": 1}})
    mesh = mesh_of(400, seed=1, parameters=parameters)
    short, long = (mesh.up(Frames.of(np.arange(400), START_S, DeliveryClass.ALARM, 1, size)) for size in (100, 2_000))
    assert long.arrives.sum() < short.arrives.sum()
    both = long.arrives & short.arrives
    assert (long.arrives_s[both] > short.arrives_s[both]).all()
