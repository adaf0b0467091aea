"""A power-line carrier: one poll after another, noise, registration, and a medium that dies with the line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from meters.radio.frames import Frames
from meters.radio.parameters import load_parameters
from meters.radio.passage import Cause, DeliveryClass, Passage
from meters.radio.plc import PowerLine
from tests.meters.radio.suburb import START_S, keys_of

HOUR_S = 3_600
SEEDS = range(5)


def streets(count: int, seed: int) -> NDArray[np.float64]:
    """Houses within some 500 m of the substation."""
    return np.random.default_rng(seed).uniform(-350, 350, (count, 2))


NOISY_AT_19: dict[str, Any] = {"availability_least": 1.0, "noise_db_by_hour": [0.0] * 19 + [9.0] + [0.0] * 4}


def line(count: int, seed: int, *, start_s: float = START_S - 86_400, offset_s: int = 0, **changes: Any) -> PowerLine:
    parameters = load_parameters({"plc": changes}).plc
    return PowerLine(
        streets(count, seed), np.zeros(2), keys_of(count, seed), parameters, start_s=start_s, utc_offset_s=offset_s
    )


def reads(power_line: PowerLine, count: int, at_s: float = START_S) -> Passage:
    return power_line.up(Frames.of(np.arange(count), at_s, DeliveryClass.READ, int(at_s), 960))


def test_that_the_concentrator_polls_one_meter_after_another() -> None:
    power_line = line(150, seed=1, availability_least=1.0)
    passage = reads(power_line, 150)
    on_time = passage.cause == Cause.ON_TIME
    arrives_s = passage.arrives_s[on_time]
    assert on_time.sum() > 100
    parameters = load_parameters().plc
    by_depth = parameters.poll_first_s + parameters.poll_per_repeater_s * (power_line.hops.astype(float) - 1)
    assert power_line.cycle_s == pytest.approx(by_depth.sum())
    assert power_line.hops.max() > 1
    # None begins before the one before has ended: each takes its three pieces at least.
    assert (np.diff(arrives_s) >= 3 * by_depth[on_time][1:] - 1e-6).all()


def test_that_reads_arrive_within_two_hours_and_some_in_a_later_round() -> None:
    late = 0
    for seed in SEEDS:
        passage = reads(line(150, seed), 150, START_S + 19 * HOUR_S)
        assert (passage.arrives_s - START_S - 19 * HOUR_S <= 2 * HOUR_S).sum() >= 147
        late += int((passage.cause[passage.arrives] == Cause.RADIO).sum())
    assert 0 < late < 150


def test_that_noise_by_the_local_hour_costs_polls() -> None:
    for seed in SEEDS:
        power_line = line(150, seed, **NOISY_AT_19)
        quiet, noisy = (int(reads(power_line, 150, START_S + hour * HOUR_S).attempts.sum()) for hour in (3, 19))
        assert quiet < noisy, (seed, quiet, noisy)
    # The noise is there at 19:00 of local time.
    there, here = (
        reads(line(150, 1, offset_s=offset_s, **NOISY_AT_19), 150, START_S + 17 * HOUR_S).attempts.sum()
        for offset_s in (2 * HOUR_S, 0)
    )
    assert there > here


def test_that_a_dead_line_carries_no_gasp() -> None:
    power_line = line(120, seed=1)
    lit = np.ones(120, dtype=bool)
    lit[40:60] = False
    power_line.supply(lit, now_s=START_S)
    gasps = power_line.up(Frames.of(np.arange(40, 60), START_S + 50.0, DeliveryClass.GASP, 1))
    assert not gasps.arrives.any()
    assert set(gasps.cause.tolist()) == {Cause.DARK}
    # Nothing else reaches them or comes from them, and the others go on.
    assert not power_line.down(Frames.of(np.arange(40, 60), START_S + 50.0, DeliveryClass.CONTROL, 1)).arrives.any()
    assert not reads(power_line, 120).arrives[40:60].any()
    others = np.delete(reads(power_line, 120).arrives, np.s_[40:60])
    assert others.sum() >= 95


def test_that_who_was_there_a_day_ago_is_registered() -> None:
    assert line(120, seed=1).registered(START_S).all()


def test_that_five_to_ten_per_cent_do_not_register_at_first() -> None:
    late = 0
    for seed in SEEDS:
        power_line = line(400, seed, start_s=START_S)
        unknown = ~power_line.registered(START_S)
        late += int(unknown.sum())
        passage = reads(power_line, 400)
        unheard = unknown & ~power_line.registered(START_S + 2 * HOUR_S)
        assert not passage.arrives[unheard].any()
        # Nobody has asked them, and that is told apart from noise.
        assert (passage.cause[unheard] == Cause.REGISTRATION).all()
        assert not passage.attempts[unheard].any()
        assert not (passage.cause[~unknown] == Cause.REGISTRATION).any()
        assert power_line.registered(START_S + load_parameters().plc.late_most_s).all()
        share = [power_line.registered(START_S + hour * HOUR_S).mean() for hour in range(7)]
        assert share == sorted(share)
    assert 0.05 * 2_000 <= late <= 0.10 * 2_000, late


def test_that_who_gets_supply_back_registers_anew() -> None:
    power_line = line(120, seed=1)
    power_line.supply(np.zeros(120, dtype=bool), now_s=START_S)
    power_line.supply(np.ones(120, dtype=bool), now_s=START_S + 600)
    parameters = load_parameters().plc
    assert not power_line.registered(START_S + 600 + parameters.rejoin_least_s - 1).any()
    assert power_line.registered(START_S + 600 + parameters.rejoin_most_s).all()


def test_that_a_command_goes_ahead_of_polls_and_an_event_waits_for_its_turn() -> None:
    power_line = line(150, seed=1, availability_least=1.0)
    down = power_line.down(Frames.of(np.arange(150), START_S + 100.0, DeliveryClass.CONTROL, 1))
    up = power_line.up(Frames.of(np.arange(150), START_S + 100.0, DeliveryClass.ALARM, 1))
    ahead_s, waits_s = (np.median(passage.arrives_s) - START_S - 100 for passage in (down, up))
    assert ahead_s < 10 < waits_s < power_line.cycle_s


def test_that_a_service_that_is_cut_off_takes_its_repeater_along() -> None:
    power_line = line(150, seed=2)
    repeaters = np.unique(power_line.parent[power_line.parent < 150])
    served = np.flatnonzero(np.isin(power_line.parent, repeaters))
    lit = np.ones(150, dtype=bool)
    lit[repeaters] = False
    power_line.supply(lit)
    assert not np.isin(power_line.parent[np.setdiff1d(served, repeaters)], repeaters).any()


def test_that_nothing_passes_a_dead_concentrator() -> None:
    power_line = line(50, seed=1)
    power_line.supply(np.ones(50, dtype=bool), concentrator_lit=False)
    passage = reads(power_line, 50)
    assert not passage.arrives.any()
    assert set(passage.cause.tolist()) == {Cause.COLLECTOR}


def test_that_a_passage_depends_on_neither_order_nor_company() -> None:
    power_line = line(80, seed=3)
    order = np.random.default_rng(3).permutation(80)
    together = reads(power_line, 80).arrives_s[order]
    apart = [
        power_line.up(Frames.of([row], START_S, DeliveryClass.READ, START_S, 960)).arrives_s[0]
        for row in order.tolist()
    ]
    assert together.tolist() == apart
