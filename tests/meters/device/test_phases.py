"""What a meter tells of its phases, without sockets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meters.device.phases import PhaseChange, PhaseWatch
from meters.device.state import METER_STATE, NEVER_S

NOW_S = 1_768_435_200


def watch(*lit: str) -> tuple[PhaseWatch, NDArray[np.void]]:
    state = np.zeros(len(lit), dtype=METER_STATE)
    state["phase_due_s"] = NEVER_S
    made = PhaseWatch(state, 45.0)
    made.adopt(phases(*lit), NOW_S)
    return made, state


def phases(*lit: str) -> NDArray[np.bool_]:
    return np.array([[name in each for name in "123"] for each in lit])


def test_a_lost_phase_is_told_after_the_qualifying_delay_and_its_return_at_once() -> None:
    made, state = watch("123", "123")
    touched, changes = made.adopt(phases("13", "123"), NOW_S + 10)
    assert (touched.tolist(), changes) == ([0], [])
    assert state["phase_due_s"].min() == NOW_S + 55
    assert made.fire(NOW_S + 54) == []
    assert made.fire(NOW_S + 55) == [PhaseChange(0, "L2", True, NOW_S + 10, NEVER_S)]
    assert made.fire(NOW_S + 99) == []
    _, changes = made.adopt(phases("123", "123"), NOW_S + 300)
    assert changes == [PhaseChange(0, "L2", False, NOW_S + 10, NOW_S + 300)]


def test_a_short_loss_is_not_told() -> None:
    made, _ = watch("123")
    made.adopt(phases("12"), NOW_S + 10)
    assert made.adopt(phases("123"), NOW_S + 40)[1] == []
    assert made.fire(NOW_S + 900) == []


def test_a_phase_that_was_never_there_is_not_connected() -> None:
    made, _ = watch("2")
    made.adopt(phases(""), NOW_S + 10)
    made.adopt(phases("2"), NOW_S + 600)
    assert made.fire(NOW_S + 5000) == []


def test_a_meter_without_any_phase_gasps_and_tells_of_no_phase() -> None:
    made, _ = watch("123")
    made.adopt(phases("12"), NOW_S + 10)
    made.adopt(phases(""), NOW_S + 20)
    assert made.fire(NOW_S + 900) == []


def test_one_that_comes_back_on_two_phases_tells_of_the_third() -> None:
    made, _ = watch("123")
    made.adopt(phases(""), NOW_S + 20)
    made.adopt(phases("12"), NOW_S + 600)
    assert made.fire(NOW_S + 645) == [PhaseChange(0, "L3", True, NOW_S + 20, NEVER_S)]


def test_a_told_loss_ends_when_the_phase_is_back_even_over_a_blackout() -> None:
    made, _ = watch("123")
    made.adopt(phases("12"), NOW_S + 10)
    made.fire(NOW_S + 55)
    made.adopt(phases(""), NOW_S + 100)
    assert made.adopt(phases("123"), NOW_S + 700)[1] == [PhaseChange(0, "L3", False, NOW_S + 10, NOW_S + 700)]
