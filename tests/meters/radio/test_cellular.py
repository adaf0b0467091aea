"""A cellular network: cells that all processes agree on, holes, outages, congestion, and TCP's order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meters.radio.cellular import Cells, Disturbance
from meters.radio.frames import Frames
from meters.radio.parameters import load_parameters
from meters.radio.passage import Cause, DeliveryClass
from tests.meters.radio.suburb import START_S, keys_of, plots

METERS = 1_500
SEEDS = range(5)


def cells(seed: int = 1, **changes: object) -> Cells:
    parameters = load_parameters({"cellular": changes}).cellular
    return Cells(plots(METERS, seed), keys_of(METERS, seed), parameters)


def attached_after_s(network: Cells, crowd: float) -> np.ndarray:
    everybody = np.flatnonzero(network.in_service)
    passage = network.attach(everybody, np.full(len(everybody), float(START_S)), np.full(len(everybody), crowd))
    assert passage.arrives.all()
    return passage.arrives_s - START_S


def test_that_each_process_finds_the_same_cells() -> None:
    positions_m, keys, parameters = plots(METERS, 1), keys_of(METERS, 1), load_parameters().cellular
    whole = Cells(positions_m, keys, parameters)
    some = np.random.default_rng(1).permutation(METERS)[:300]
    part = Cells(positions_m[some], keys[some], parameters)
    assert part.cell == [whole.cell[row] for row in some.tolist()]
    assert part.operator == [whole.operator[row] for row in some.tolist()]
    assert all(cell.startswith(f"{operator}/cell-") for cell, operator in zip(whole.cell, whole.operator, strict=True))
    shares = [whole.operator.count(name) for name in sorted(set(whole.operator))]
    assert len(shares) == parameters.operators
    assert min(shares) > 0.4 * METERS


def test_that_more_attaches_at_once_take_longer_and_the_back_off_has_a_cap() -> None:
    medians_s = [float(np.median(attached_after_s(cells(), crowd))) for crowd in (0, 300, 3_000, 10_000)]
    assert medians_s == sorted(medians_s)
    assert medians_s[0] == load_parameters().cellular.attach_s
    assert medians_s[-1] > 100
    # Nobody waits longer between two attempts than the cap.
    network, everybody = cells(attach_wait_most_s=20.0, attach_tries=50), np.arange(METERS)
    passage = network.attach(everybody, np.zeros(METERS), np.full(METERS, 600.0))
    waits_s = np.concatenate([[0.0, 10.0], np.full(50, 20.0)]).cumsum()
    assert passage.attempts.max() > 5
    assert (passage.arrives_s <= load_parameters().cellular.attach_s + waits_s[passage.attempts.astype(int) - 1]).all()


def test_that_a_cell_grants_no_more_attaches_than_it_can() -> None:
    parameters = load_parameters().cellular
    for seed in SEEDS:
        took_s = attached_after_s(cells(seed), METERS - 1.0)
        granted = np.histogram(took_s, bins=np.arange(0, 1_000, 10.0))[0] / 10.0
        # All of them as one cell; what is granted in ten seconds scatters.
        assert granted.max() <= 1.5 * parameters.attaches_per_s, (seed, granted.max())


def test_that_there_are_holes_where_coupling_loss_is_too_high() -> None:
    assert cells().covered.mean() > 0.98
    far = cells(spacing_m=12_000.0)
    hole = ~far.covered
    assert 0 < hole.sum() < METERS
    passage = far.up(Frames.of(np.arange(METERS), START_S, DeliveryClass.READ, START_S))
    assert not passage.arrives[hole].any()
    assert set(passage.cause[hole].tolist()) == {Cause.CELL}
    assert passage.arrives[~hole].all()
    assert not far.attach(np.flatnonzero(hole), np.full(hole.sum(), 1.0), np.zeros(hole.sum())).arrives.any()


def test_that_the_edge_of_coverage_is_slower() -> None:
    network = cells(spacing_m=6_000.0)
    rows = np.flatnonzero(network.covered)
    took_s = network.up(Frames.of(rows, START_S, DeliveryClass.READ, START_S)).arrives_s - START_S
    loss_db = network.coupling_loss_db[rows]
    near, far = loss_db <= np.quantile(loss_db, 0.2), loss_db >= np.quantile(loss_db, 0.8)
    assert np.median(took_s[near]) < np.median(took_s[far])
    assert took_s.min() >= load_parameters().cellular.latency_least_s


def test_that_a_cell_and_an_operator_can_fail() -> None:
    network = cells()
    cell, operator = network.cell[0], network.operator[1]
    frames = Frames.of(np.arange(METERS), START_S, DeliveryClass.ALARM, 1)
    network.disturb(Disturbance(cells_down=frozenset({cell})))
    lost = ~network.up(frames).arrives
    assert lost.tolist() == [each == cell for each in network.cell]
    network.disturb(Disturbance(operators_out=frozenset({operator})))
    assert (~network.in_service).tolist() == [each == operator for each in network.operator]
    lost = ~network.down(frames).arrives
    assert lost.tolist() == [each == operator for each in network.operator]
    network.disturb(Disturbance())
    assert network.up(frames).arrives.all()


def test_that_a_congested_cell_is_slower_for_its_meters_alone() -> None:
    cell = cells().cell[0]
    within = np.array([each == cell for each in cells().cell])
    took_s = []
    for load in ({}, {cell: 1_000.0}):
        network = cells()
        network.disturb(Disturbance(loads=load))
        passage = network.up(Frames.of(np.arange(METERS), START_S, DeliveryClass.READ, START_S))
        took_s.append(passage.arrives_s - START_S)
    assert np.median(took_s[1][within]) > np.median(took_s[0][within]) + 5
    assert (took_s[1][~within] == took_s[0][~within]).all()
    assert (passage.cause[within] == Cause.CELL).mean() > 0.5
    # And so is an attach.
    rows = np.flatnonzero(within)
    attached = [
        each.attach(rows, np.zeros(len(rows)), np.full(len(rows), 20.0)).arrives_s for each in (cells(), network)
    ]
    assert attached[0].mean() < attached[1].mean()


def test_that_thousands_who_report_at_once_wait_for_each_other() -> None:
    frames = Frames.of(np.arange(METERS), START_S, DeliveryClass.READ, START_S)
    alone, crowded = (cells().up(frames, crowd).arrives_s for crowd in (0.0, 5_000.0))
    assert np.median(crowded) > np.median(alone) + 10


@settings(max_examples=25, deadline=None)
@given(
    gaps_s=st.lists(st.floats(0, 3), min_size=1, max_size=30),
    rows=st.lists(st.integers(0, 2), min_size=30, max_size=30),
    parts=st.integers(1, 30),
)
def test_that_no_frame_of_a_meter_overtakes_another(gaps_s: list[float], rows: list[int], parts: int) -> None:
    network = cells(loss_share=0.4, loss_share_at_edge=0.5)
    sent_s = START_S + np.cumsum(gaps_s)
    own = np.array(rows[: len(sent_s)])
    arrives_s = np.concatenate(
        [
            network.up(Frames.of(own[part], sent_s[part], DeliveryClass.READ, part)).arrives_s
            for part in np.array_split(np.arange(len(sent_s)), min(parts, len(sent_s)))
        ]
    )
    assert np.isfinite(arrives_s).all()
    for row in range(3):
        assert (np.diff(arrives_s[own == row]) >= 0).all()


def test_that_loss_is_delay() -> None:
    quick, slow = cells(loss_share=0.0, loss_share_at_edge=0.0), cells(loss_share=0.3, loss_share_at_edge=0.3)
    frames = Frames.of(np.arange(METERS), START_S, DeliveryClass.ALARM, 1)
    first, second = quick.up(frames), slow.up(frames)
    assert second.arrives.all()
    again = second.attempts > 1
    assert again.mean() == pytest.approx(0.3, abs=0.05)
    assert (second.arrives_s[again] >= first.arrives_s[again] + 1.0).all()
    assert (second.arrives_s[~again] == first.arrives_s[~again]).all()
