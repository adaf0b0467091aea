"""The physical frame as bytes and as an integrator."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from grid.world import FrameError, WorldFrame
from tests.frames import frame_of

ARRAYS = ("import_wh", "export_wh", "active_power_w", "reactive_power_var", "voltage_v", "voltage_angle_rad")
FINITE = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def frames(draw: st.DrawFn) -> WorldFrame:
    n = draw(st.integers(0, 6))
    return WorldFrame(
        sequence=draw(st.integers(0, 2**62)),
        time_s=draw(st.integers(-(2**40), 2**40)),
        phase_energised=draw(hnp.arrays(np.bool_, (n, 3))),
        reactive_varh=draw(hnp.arrays(np.float64, (4, n, 3), elements=FINITE)),
        breaker_closed=draw(hnp.arrays(np.bool_, n)),
        **{name: draw(hnp.arrays(np.float64, (n, 3), elements=FINITE)) for name in ARRAYS},
    )


def example(n: int = 2) -> WorldFrame:
    values = np.arange(n * 3, dtype=np.float64).reshape(n, 3)
    on = np.ones(n, dtype=bool)
    return frame_of(
        3, 1000, on, import_wh=values, export_wh=values + 1, active_power_w=values - 4, voltage_v=values + 230
    )


@given(frames())
def test_round_trip(frame: WorldFrame) -> None:
    read = WorldFrame.from_bytes(frame.to_bytes())
    assert (read.sequence, read.time_s) == (frame.sequence, frame.time_s)
    assert np.array_equal(read.energised, frame.energised)
    assert np.array_equal(read.breaker_closed, frame.breaker_closed)
    for name in (*ARRAYS, "phase_energised", "reactive_varh"):
        assert np.array_equal(getattr(read, name), getattr(frame, name))


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused_with_a_message(data: bytes) -> None:
    with pytest.raises(FrameError, match=r"frame|start"):
        WorldFrame.from_bytes(data)


@given(st.data())
def test_a_cut_or_lengthened_frame_is_refused(data: st.DataObject) -> None:
    good = example().to_bytes()
    cut = data.draw(st.integers(0, len(good) - 1))
    with pytest.raises(FrameError):
        WorldFrame.from_bytes(good[:cut])
    with pytest.raises(FrameError):
        WorldFrame.from_bytes(good + data.draw(st.binary(min_size=1)))


def patched(offset: int, replacement: bytes) -> bytes:
    data = bytearray(example().to_bytes())
    data[offset : offset + len(replacement)] = replacement
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (patched(0, b"X"), "start"),
        (patched(8, b"\x09"), "version 9"),
        (patched(12, b"\xff\xff\xff\xff"), "usage points has"),
        (patched(32, np.float64("nan").tobytes()), "not finite"),
        (example().to_bytes()[:-1] + b"\x1f", "flags other than"),
    ],
)
def test_malformed_frames_say_what_is_wrong(data: bytes, message: str) -> None:
    with pytest.raises(FrameError, match=message):
        WorldFrame.from_bytes(data)


def test_arrays_of_the_wrong_shape_are_all_named() -> None:
    good = example()
    with pytest.raises(FrameError, match=r"phase_energised.*reactive_varh.*export_wh.*voltage_v"):
        replace(
            good,
            phase_energised=good.phase_energised[:, :2],
            reactive_varh=good.reactive_varh[:3],
            export_wh=good.export_wh[:1],
            voltage_v=good.voltage_v.astype(np.float32),
        )
    with pytest.raises(FrameError, match="breaker_closed"):
        replace(good, breaker_closed=good.breaker_closed[:, np.newaxis])


def test_energy_goes_on_with_constant_power() -> None:
    power = np.array([[3600.0, 0.0, -7200.0], [0.0, 0.0, 0.0]])
    zeros = np.zeros((2, 3))
    frame = frame_of(0, 100, np.array([True, False]), import_wh=zeros + 5, active_power_w=power, voltage_v=zeros)
    imported, exported = frame.energy_at(110)
    assert imported.tolist() == [[15.0, 5.0, 5.0], [5.0, 5.0, 5.0]]
    assert exported.tolist() == [[0.0, 0.0, 20.0], [0.0, 0.0, 0.0]]
    each, _ = frame.energy_at(np.array([101.5, 100.0]))
    assert each[:, 0].tolist() == [6.5, 5.0]


def test_energy_of_the_past_is_refused() -> None:
    with pytest.raises(ValueError, match="before the frame"):
        example().energy_at(999)
    with pytest.raises(ValueError, match="shape"):
        example().energy_at(np.zeros(5))


def test_reactive_energy_goes_to_the_quadrant_of_its_power() -> None:
    active, reactive = np.array([[3600.0, -3600.0, -1.0]]), np.array([[360.0, 720.0, -3600.0]])
    frame = replace(example(1), active_power_w=active, reactive_power_var=reactive)
    frame = replace(frame, reactive_varh=frame.reactive_varh + 1.0)
    grown = frame.reactive_at(1010) - 1.0
    assert grown[:, 0, :].T.tolist() == [[1.0, 0, 0, 0], [0, 2.0, 0, 0], [0, 0, 10.0, 0]]
    turned = replace(frame, active_power_w=-active).reactive_at(1010) - 1.0
    assert turned[:, 0, :].T.tolist() == [[0, 1.0, 0, 0], [2.0, 0, 0, 0], [0, 0, 0, 10.0]]


def test_a_usage_point_has_supply_while_one_of_its_phases_has() -> None:
    lit = np.array([[True, False, False], [False, False, False]])
    assert replace(example(), phase_energised=lit).energised.tolist() == [True, False]
