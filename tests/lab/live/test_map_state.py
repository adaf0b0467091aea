"""What the map is told of each meter, and what it is not told during an exercise."""

from __future__ import annotations

import numpy as np
import pytest

from lab.live.map_state import DARK, DISCONNECTED, GASPED, OFFLINE, ONLINE, OUT, PHASE_TOLD, MapState
from tests.frames import frame_of

SERIALS = ("A", "B", "C")
ROWS = (4, 0, 2)
"""Of the meters' usage points in the frame, which has more than these."""

CONNECTED = np.array([[True, True, True], [True, True, True], [False, True, False]])


def frame(dark: tuple[int, ...] = (), voltage_v: float = 230.0, disconnected: tuple[int, ...] = ()) -> bytes:
    energised = np.ones(5, dtype=bool)
    energised[list(dark)] = False
    voltages = np.where(energised[:, np.newaxis], np.array([[voltage_v, 0.0, 0.0]]), 0.0)
    zero = np.zeros((5, 3))
    closed = np.ones(5, dtype=bool)
    closed[list(disconnected)] = False
    return frame_of(1, 900, energised, active_power_w=zero, voltage_v=voltages, closed=closed).to_bytes()


@pytest.fixture
def state() -> MapState:
    return MapState(SERIALS, ROWS, np.full(3, 230.0), CONNECTED)


def decoded(data: bytes) -> tuple[list[int], list[float]]:
    flags = np.frombuffer(data, dtype=np.uint8, count=3)
    voltage = np.frombuffer(data, dtype="<u2", offset=6)
    return flags.tolist(), (voltage / 1e4).tolist()


def test_flags_and_voltages_are_those_of_the_meters_usage_points(state: MapState) -> None:
    state.see_frame(frame(dark=(0,), voltage_v=219.5))
    flags, voltage = decoded(state.encoded())
    assert flags == [0, DARK, 0]
    assert voltage == pytest.approx([219.5 / 230, 0.0, 219.5 / 230], abs=1e-4)


def test_what_the_head_end_says_is_added(state: MapState) -> None:
    state.see_frame(frame(dark=(0,)))
    state.see_headend([(ONLINE, ["A"]), (OFFLINE, ["B", "C"]), (GASPED, ["B"]), (OUT, ["B"]), (OUT, ["unknown"])])
    assert decoded(state.encoded())[0] == [ONLINE, DARK | OFFLINE | GASPED | OUT, OFFLINE]
    expected = {"meters": 3, "dark": 1, "gasped": 1, "out": 1, "online": 1, "offline": 2, "disconnected": 0}
    expected |= {"phase_told": 0, "phase_missing": 0}
    assert state.counts() == expected


def test_a_disconnected_customer_is_told_from_one_in_an_outage(state: MapState) -> None:
    state.see_frame(frame(dark=(0, 2), disconnected=(0, 4)))
    flags, voltage = decoded(state.encoded())
    assert flags == [DISCONNECTED, DARK | DISCONNECTED, DARK]
    assert voltage == [1.0, 0.0, 0.0], "before the relay there is voltage"
    assert (state.counts()["dark"], state.counts()["disconnected"]) == (2, 2)
    assert decoded(state.encoded(hidden=["truth"]))[0] == [0, 0, 0]


def test_nothing_true_is_told_while_the_truth_is_hidden(state: MapState) -> None:
    state.see_frame(frame(dark=(0,)))
    state.see_headend([(GASPED, ["B"]), (OUT, ["B"])])
    flags, voltage = decoded(state.encoded({"truth"}))
    assert flags == [0, GASPED | OUT, 0]
    assert voltage == [0.0, 0.0, 0.0]
    assert decoded(state.encoded(("truth", "outages")))[0] == [0, GASPED, 0]
    assert state.counts(("truth", "outages"))["out"] == 0


def test_the_version_changes_with_what_is_seen_and_only_then(state: MapState) -> None:
    state.see_headend([(ONLINE, ["A"])])
    version = state.version
    state.see_headend([(ONLINE, ["A"])])
    assert state.version == version
    state.see_frame(frame())
    assert state.version > version


def test_a_missing_phase_is_told_from_the_dark_and_from_what_nobody_has(state: MapState) -> None:
    lit = np.ones((5, 3), dtype=bool)
    lit[4, 1] = False  # A has L1 and L3 left
    lit[0] = False  # B is dark
    lit[2] = [False, True, False]  # C has only L2, and has it
    zero = np.zeros((5, 3))
    state.see_frame(frame_of(1, 900, lit, active_power_w=zero, voltage_v=np.where(lit, 230.0, 0.0)).to_bytes())
    state.see_headend([(PHASE_TOLD, ["A"])])
    flags, voltage = decoded(state.encoded())
    assert flags == [PHASE_TOLD, DARK, 0]
    assert voltage == [1.0, 0.0, 1.0]
    assert list(state.encoded()[3:6]) == [2, 0, 0]
    assert (state.counts()["phase_missing"], state.counts()["dark"], state.counts()["phase_told"]) == (1, 1, 1)
    # What the head-end was told is no secret of the truth.
    assert list(state.encoded({"truth"})[:6]) == [PHASE_TOLD, 0, 0, 0, 0, 0]
