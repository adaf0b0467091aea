"""The physical frame: what the grid tells the meters.

A frame says, per usage point and phase, how much energy has flowed since the start of the run and with which power it
flows from `time_s` until the next frame. Power is constant between frames, so a meter integrates causally and exactly,
whatever its clock does, and nothing is lost between two frames.

Imports numpy only: `meters` imports this module and must not pull in a power-flow library.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PHASES = 3
"""Columns of every per-phase array: L1, L2, L3."""

SECONDS_PER_HOUR = 3600.0

_MAGIC = b"AMIWORLD"
_VERSION = 2
# magic, version, usage points, sequence, time_s. A multiple of 8 bytes, so that the arrays behind it stay aligned.
_HEADER = struct.Struct("<8sIIqq")
_ARRAYS = ("import_wh", "export_wh", "active_power_w", "reactive_power_var", "voltage_v")
_ENERGISED, _CLOSED = np.uint8(1), np.uint8(2)
_BYTES_PER_POINT = 1 + 8 * PHASES * len(_ARRAYS)


class FrameError(ValueError):
    """Bytes or arrays that are no valid `WorldFrame`; the message says what is wrong with them."""


@dataclass(frozen=True, slots=True, eq=False)
class WorldFrame:
    """State of all n usage points, in the order of `Feeder.usage_points`.

    `energised` and `breaker_closed` are (n,); every other array is (n, 3), by phase. Power is positive for import. Dark
    usage points, and phases that a usage point does not have, carry zero power and zero voltage; their energies stand
    still. Behind an open breaker there is no power, but the meter before it still has its voltage.
    """

    sequence: int
    time_s: int
    """Epoch second from which the powers hold."""
    energised: NDArray[np.bool_]
    """Supply at the line side of the meter: what an outage takes away."""
    import_wh: NDArray[np.float64]
    """Delivered to the usage point since the start of the run, at `time_s`."""
    export_wh: NDArray[np.float64]
    """Received from the usage point since the start of the run, at `time_s`."""
    active_power_w: NDArray[np.float64]
    reactive_power_var: NDArray[np.float64]
    voltage_v: NDArray[np.float64]
    """Line to neutral, at the line side of the meter."""
    breaker_closed: NDArray[np.bool_]
    """The customer's breaker, which the meter's relay moves."""

    def __post_init__(self) -> None:
        """Raises FrameError, listing every array of the wrong shape or type."""
        faults = []
        if self.energised.dtype != np.bool_ or self.energised.ndim != 1:
            faults.append(f"energised is {self.energised.dtype}{self.energised.shape}, not bool(n,)")
        closed = self.breaker_closed
        if closed.dtype != np.bool_ or closed.shape != self.energised.shape:
            faults.append(f"breaker_closed is {closed.dtype}{closed.shape}, not bool{self.energised.shape}")
        expected = (len(self.energised), PHASES)
        for name in _ARRAYS:
            array: NDArray[np.float64] = getattr(self, name)
            if array.dtype != np.float64 or array.shape != expected:
                faults.append(f"{name} is {array.dtype}{array.shape}, not float64{expected}")
        if faults:
            raise FrameError("not a world frame: " + "; ".join(faults))

    def __len__(self) -> int:
        return len(self.energised)

    def energy_at(
        self, time_s: float | NDArray[np.float64] | NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Cumulative (import, export) in Wh, each (n, 3), at `time_s`: one instant, or one per usage point (n,).

        Raises ValueError for an instant before the frame: what flowed before it belongs to an earlier frame.
        """
        elapsed_s = np.asarray(time_s, dtype=np.float64) - self.time_s
        if elapsed_s.ndim not in (0, 1) or (elapsed_s.ndim == 1 and len(elapsed_s) != len(self)):
            raise ValueError(f"time_s has the shape {elapsed_s.shape}; expected a scalar or ({len(self)},)")
        if not np.all(elapsed_s >= 0):
            raise ValueError(f"an instant before the frame's {self.time_s} s was asked for")
        elapsed_h = elapsed_s[..., np.newaxis] / SECONDS_PER_HOUR
        imported = self.import_wh + np.maximum(self.active_power_w, 0.0) * elapsed_h
        exported = self.export_wh + np.maximum(-self.active_power_w, 0.0) * elapsed_h
        return imported, exported

    def to_bytes(self) -> bytes:
        """Little-endian: header, five float64 (n, 3) arrays, then a byte per usage point: 1 energised + 2 closed."""
        header = _HEADER.pack(_MAGIC, _VERSION, len(self), self.sequence, self.time_s)
        arrays = (np.ascontiguousarray(getattr(self, name), dtype="<f8").tobytes() for name in _ARRAYS)
        flags = self.energised * _ENERGISED | self.breaker_closed * _CLOSED
        return b"".join((header, *arrays, flags.tobytes()))

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview) -> WorldFrame:
        """The frame that `to_bytes` wrote. The arrays are read-only views into `data`, not copies.

        Raises FrameError.
        """
        view = memoryview(data).cast("B")
        if len(view) < _HEADER.size:
            raise FrameError(f"{len(view)} bytes are too few for a frame's header of {_HEADER.size}")
        magic, version, count, sequence, time_s = _HEADER.unpack_from(view)
        if magic != _MAGIC:
            raise FrameError(f"does not start with {_MAGIC!r} but with {magic!r}")
        if version != _VERSION:
            raise FrameError(f"version {version} of the frame; this program reads version {_VERSION}")
        expected = _HEADER.size + count * _BYTES_PER_POINT
        if len(view) != expected:
            raise FrameError(f"{len(view)} bytes; a frame of {count} usage points has {expected}")
        values = np.frombuffer(view, dtype="<f8", count=count * PHASES * len(_ARRAYS), offset=_HEADER.size)
        if not np.all(np.isfinite(values)):
            raise FrameError("contains values that are not finite")
        flags = np.frombuffer(view, dtype=np.uint8, count=count, offset=expected - count)
        if np.any(flags > _ENERGISED | _CLOSED):
            raise FrameError("contains flags other than energised and closed")
        arrays = values.reshape(len(_ARRAYS), count, PHASES).astype(np.float64, copy=False)
        imported, exported, active_w, reactive_var, voltage_v = arrays
        energised, closed = (flags & _ENERGISED) > 0, (flags & _CLOSED) > 0
        return cls(sequence, time_s, energised, imported, exported, active_w, reactive_var, voltage_v, closed)
