"""An image of firmware on its way: who has it when, and what that costs the others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from meters.radio.firmware import Pace, Spread, restart_s
from meters.radio.frames import Frames
from meters.radio.mesh import Jam
from meters.radio.parameters import load_parameters
from meters.radio.passage import Cause, DeliveryClass
from meters.radio.plc import PowerLine
from tests.meters.radio.suburb import START_S, had_after_s, keys_of, mesh_of, plots

COUNT = 150
SHARE = load_parameters().firmware.airtime_share
SEEDS = (1, 2, 3)


def line_of(count: int, seed: int) -> PowerLine:
    return PowerLine(plots(count, seed), np.zeros(2), keys_of(count, seed), load_parameters().plc, start_s=0.0)


@pytest.mark.parametrize("made", [mesh_of, line_of])
@pytest.mark.parametrize("seed", SEEDS)
def test_that_a_larger_image_and_a_smaller_share_take_longer(made: type, seed: int) -> None:
    medium = made(COUNT, seed)
    usual_s = had_after_s(medium, 100_000)
    assert np.isfinite(usual_s).all(), "all have a way, so all get it"
    assert (had_after_s(medium, 300_000) > usual_s).all()
    assert (had_after_s(medium, 100_000, SHARE / 2) > usual_s).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_that_weak_links_take_longer_and_that_all_of_a_mesh_have_a_megabyte_within_a_day(seed: int) -> None:
    mesh = mesh_of(COUNT, seed)
    had_s = had_after_s(mesh, load_parameters().firmware.image_bytes)
    # RFC 8036, 4.2, C5: within seven days.
    assert 3_600 < had_s.min() < had_s.max() < 86_400
    weak = mesh.link_quality < np.quantile(mesh.link_quality, 0.2)
    assert np.median(had_s[weak]) > np.median(had_s[~weak])


@pytest.mark.parametrize("seed", SEEDS)
def test_that_who_is_dark_jammed_or_without_a_collector_waits_by_that_cause_and_goes_on_after(seed: int) -> None:
    mesh = mesh_of(COUNT, seed)
    lacking = np.ones(COUNT, dtype=bool)
    lit = np.arange(COUNT) >= 10
    mesh.supply(lit, now_s=START_S)
    pace = mesh.image_pace(lacking, SHARE)
    assert (pace.held_by[~lit] == Cause.DARK).all()
    assert (pace.gained_bytes_s[~lit] == 0).all()
    assert (pace.gained_bytes_s[mesh.hops > 0] > 0).all()
    mesh.supply(lit, False, now_s=START_S)
    assert (mesh.image_pace(lacking, SHARE).held_by == Cause.COLLECTOR).all()
    mesh.supply(~np.zeros(COUNT, dtype=bool), now_s=START_S)
    mesh.jam([Jam((0.0, 0.0), np.inf)], now_s=START_S)
    jammed = mesh.image_pace(lacking, SHARE)
    assert (jammed.held_by == Cause.JAMMED).all()
    assert not jammed.flows
    mesh.jam([], now_s=START_S)
    assert (mesh.image_pace(lacking, SHARE).gained_bytes_s > 0).all()


@pytest.mark.parametrize("made", [mesh_of, line_of])
@pytest.mark.parametrize("seed", SEEDS)
def test_that_reads_are_later_in_a_wave_and_alarms_and_commands_hardly(made: type, seed: int) -> None:
    quiet, busy = made(COUNT, seed), made(COUNT, seed)
    busy.share_with_bulk(SHARE)
    rows = np.arange(COUNT)
    reads = Frames.of(rows, START_S, DeliveryClass.READ, START_S, 136)
    (before, after) = (medium.up(reads) for medium in (quiet, busy))
    both = before.arrives & after.arrives
    took_s, takes_s = before.arrives_s[both] - START_S, after.arrives_s[both] - START_S
    assert np.median(takes_s) > 1.1 * np.median(took_s)
    assert (after.cause == Cause.BULK).mean() > 0.5
    assert not (before.cause == Cause.BULK).any()
    commands = Frames.of(rows, START_S, DeliveryClass.CONTROL, 1, 150)
    (before, after) = (medium.down(commands) for medium in (quiet, busy))
    assert np.array_equal(before.arrives, after.arrives)
    both = before.arrives
    assert np.median(after.arrives_s[both] - before.arrives_s[both]) < 0.5
    busy.share_with_bulk(0.0)
    assert np.array_equal(busy.up(reads).arrives_s, quiet.up(reads).arrives_s)


def test_that_alarms_wait_for_the_block_on_the_air_at_most() -> None:
    quiet, busy = mesh_of(COUNT, 1), mesh_of(COUNT, 1)
    busy.share_with_bulk(SHARE)
    alarms = Frames.of(np.arange(COUNT), START_S, DeliveryClass.ALARM, 1, 100)
    (before, after) = (mesh.up(alarms) for mesh in (quiet, busy))
    assert np.array_equal(before.arrives, after.arrives)
    later_s = after.arrives_s[before.arrives] - before.arrives_s[before.arrives]
    mesh = load_parameters().mesh
    block_s = mesh.fragment_bytes * 8 / mesh.bit_rate_bps
    assert (later_s > 0).all()
    assert (later_s <= after.attempts[before.arrives] * block_s).all()


RATES = st.lists(st.one_of(st.just(0.0), st.floats(1e-3, 1e4)), min_size=4, max_size=4)


@given(
    size=st.floats(1.0, 1e8),
    changes=st.lists(st.tuples(st.floats(0.0, 1e5), RATES), max_size=12),
)
@settings(max_examples=80, deadline=None)
def test_that_nobody_gets_more_than_all_or_has_it_twice_whatever_happens(
    size: float, changes: list[tuple[float, list[float]]]
) -> None:
    spread = Spread.begun(size, np.zeros(4), np.zeros(4))
    now_s, whole = 0.0, np.zeros(4, dtype=int)
    for after_s, gained in changes:
        rates = np.array(gained)
        spread.pace = Pace(rates, rates, np.zeros(4, dtype=np.uint8))
        before, due_s = spread.had_bytes.copy(), spread.next_s
        now_s += after_s
        done = spread.run(now_s)
        whole[done] += 1
        assert (spread.had_bytes >= before).all()
        assert (spread.had_bytes <= size).all()
        assert len(done) == 0 or due_s <= now_s + 1e-6
    assert (whole <= 1).all()
    assert np.array_equal(whole == 1, ~spread.lacking)


@given(size=st.integers(1, 10**8), rates=st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=6))
# A strong link loses nearly nothing, and the others' arithmetic comes out at whole seconds.
@example(size=500_000, rates=[1562.5 / 27 * (1 - 5e-12)])
@settings(max_examples=100, deadline=None)
def test_that_it_is_over_after_as_many_whole_seconds_as_there_are_meters(size: int, rates: list[float]) -> None:
    gained, n = np.array(rates), len(rates)
    spread = Spread.begun(float(size), np.zeros(n), np.full(n, float(START_S)))
    spread.pace = Pace(gained, gained, np.zeros(n, dtype=np.uint8))
    for _ in range(n):
        if np.isfinite(spread.next_s):
            assert len(spread.run(np.ceil(spread.next_s))), "a clock of whole seconds would stand still"
    assert not spread.lacking.any()


@given(had_s=st.floats(0, 4e9), wave_s=st.integers(0, 2**40), seed=st.integers(0, 9))
@settings(max_examples=50, deadline=None)
def test_that_restarts_are_spread_between_the_limits_by_seed(had_s: float, wave_s: int, seed: int) -> None:
    firmware = load_parameters().firmware
    at_s = restart_s(keys_of(40, seed), had_s, wave_s, firmware)
    assert (at_s >= had_s + firmware.restart_least_s).all()
    assert (at_s <= had_s + firmware.restart_most_s).all()
    assert len(np.unique(at_s)) > 20
    assert np.array_equal(at_s, restart_s(keys_of(40, seed), had_s, wave_s, firmware))
