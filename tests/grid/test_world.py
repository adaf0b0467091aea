"""The physical frame as bytes and as an integrator."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from grid.world import FrameError, WorldFrame

ARRAYS = ("import_wh", "export_wh", "active_power_w", "reactive_power_var", "voltage_v")
FINITE = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def frames(draw: st.DrawFn) -> WorldFrame:
    n = draw(st.integers(0, 6))
    imported, exported, active, reactive, voltage = (
        draw(hnp.arrays(np.float64, (n, 3), elements=FINITE)) for _ in ARRAYS
    )
    return WorldFrame(
        draw(st.integers(0, 2**62)),
        draw(st.integers(-(2**40), 2**40)),
        draw(hnp.arrays(np.bool_, n)),
        imported,
        exported,
        active,
        reactive,
        voltage,
        draw(hnp.arrays(np.bool_, n)),
    )


def example(n: int = 2) -> WorldFrame:
    values = np.arange(n * 3, dtype=np.float64).reshape(n, 3)
    on = np.ones(n, dtype=bool)
    return WorldFrame(3, 1000, on, values, values + 1, values - 4, values, values + 230, on)


@given(frames())
def test_round_trip(frame: WorldFrame) -> None:
    read = WorldFrame.from_bytes(frame.to_bytes())
    assert (read.sequence, read.time_s) == (frame.sequence, frame.time_s)
    assert np.array_equal(read.energised, frame.energised)
    assert np.array_equal(read.breaker_closed, frame.breaker_closed)
    for name in ARRAYS:
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
        (example().to_bytes()[:-1] + b"\x07", "flags other than"),
    ],
)
def test_malformed_frames_say_what_is_wrong(data: bytes, message: str) -> None:
    with pytest.raises(FrameError, match=message):
        WorldFrame.from_bytes(data)


def test_arrays_of_the_wrong_shape_are_all_named() -> None:
    good = np.zeros((2, 3))
    on = np.ones(2, dtype=bool)
    with pytest.raises(FrameError, match=r"breaker_closed.*export_wh.*voltage_v"):
        WorldFrame(0, 0, on, good, good[:1], good, good, good.astype(np.float32), on[:1])


def test_energy_goes_on_with_constant_power() -> None:
    power = np.array([[3600.0, 0.0, -7200.0], [0.0, 0.0, 0.0]])
    zeros = np.zeros((2, 3))
    frame = WorldFrame(0, 100, np.array([True, False]), zeros + 5, zeros, power, zeros, zeros, np.ones(2, dtype=bool))
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
