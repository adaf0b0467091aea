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
"""Columns of every per-phase array."""
PHASE_NAMES = ("L1", "L2", "L3")

QUADRANTS = 4
"""QI to QIV of reactive energy by the signs of active and reactive power: ++, -+, --, +- (IEC 62053-23, annex C)."""

SECONDS_PER_HOUR = 3600.0

_MAGIC = b"AMIWORLD"
_VERSION = 3
# magic, version, usage points, sequence, time_s. A multiple of 8 bytes, so that the arrays behind it stay aligned.
_HEADER = struct.Struct("<8sIIqq")
_ARRAYS = ("import_wh", "export_wh", "active_power_w", "reactive_power_var", "voltage_v", "voltage_angle_rad")
_PHASE_FLAGS = np.array([1, 2, 4], dtype=np.uint8)
_CLOSED = np.uint8(8)
_BYTES_PER_POINT = 1 + 8 * PHASES * (len(_ARRAYS) + QUADRANTS)


class FrameError(ValueError):
    """Bytes or arrays that are no valid `WorldFrame`; the message says what is wrong with them."""


@dataclass(frozen=True, slots=True, eq=False)
class WorldFrame:
    """State of all n usage points, in the order of `Feeder.usage_points`.

    `breaker_closed` is (n,), `reactive_varh` (4, n, 3) by quadrant and phase; every other array is (n, 3), by phase.
    Power is positive for import. Phases without supply, and those that a usage point does not have, carry zero power
    and zero voltage; their energies stand still. Behind an open breaker there is no power, but the meter before it
    still has its voltage.
    """

    sequence: int
    time_s: int
    """Epoch second from which the powers hold."""
    phase_energised: NDArray[np.bool_]
    """Supply at the line side of the meter: what an outage takes away."""
    import_wh: NDArray[np.float64]
    """Delivered to the usage point since the start of the run, at `time_s`."""
    export_wh: NDArray[np.float64]
    """Received from the usage point since the start of the run, at `time_s`."""
    reactive_varh: NDArray[np.float64]
    """Reactive energy since the start of the run, at `time_s`, each quadrant counted upwards."""
    active_power_w: NDArray[np.float64]
    reactive_power_var: NDArray[np.float64]
    voltage_v: NDArray[np.float64]
    """Line to neutral, at the line side of the meter."""
    voltage_angle_rad: NDArray[np.float64]
    """Of the same; 0 is L1 of the source behind the feeder."""
    breaker_closed: NDArray[np.bool_]
    """The customer's breaker, which the meter's relay moves."""

    def __post_init__(self) -> None:
        """Raises FrameError, listing every array of the wrong shape or type."""
        faults = []
        n = len(self.breaker_closed) if self.breaker_closed.ndim else 0
        expected: list[tuple[str, type[np.generic], tuple[int, ...]]] = [
            ("breaker_closed", np.bool_, (n,)),
            ("phase_energised", np.bool_, (n, PHASES)),
            ("reactive_varh", np.float64, (QUADRANTS, n, PHASES)),
            *((name, np.float64, (n, PHASES)) for name in _ARRAYS),
        ]
        for name, kind, shape in expected:
            array: NDArray[np.generic] = getattr(self, name)
            if array.dtype != kind or array.shape != shape:
                faults.append(f"{name} is {array.dtype}{array.shape}, not {kind.__name__}{shape}")
        if faults:
            raise FrameError("not a world frame: " + "; ".join(faults))

    @property
    def energised(self) -> NDArray[np.bool_]:
        """(n,) whether at least one phase has supply."""
        return np.asarray(self.phase_energised.any(axis=1))

    def __len__(self) -> int:
        return len(self.breaker_closed)

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

    def reactive_at(self, time_s: float) -> NDArray[np.float64]:
        """Cumulative reactive energy in varh (4, n, 3), at `time_s`, which is not before the frame."""
        rates = by_quadrant(self.active_power_w, self.reactive_power_var)
        varh: NDArray[np.float64] = self.reactive_varh + rates * ((time_s - self.time_s) / SECONDS_PER_HOUR)
        return varh

    def to_bytes(self) -> bytes:
        """Little-endian: header, ten float64 (n, 3) arrays, then a byte per usage point: 1, 2, 4 by phase, 8 closed."""
        header = _HEADER.pack(_MAGIC, _VERSION, len(self), self.sequence, self.time_s)
        arrays = (np.ascontiguousarray(getattr(self, name), dtype="<f8").tobytes() for name in _ARRAYS)
        reactive = np.ascontiguousarray(self.reactive_varh, dtype="<f8").tobytes()
        flags = (self.phase_energised * _PHASE_FLAGS).sum(axis=1, dtype=np.uint8) | self.breaker_closed * _CLOSED
        return b"".join((header, *arrays, reactive, flags.tobytes()))

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
        blocks = len(_ARRAYS) + QUADRANTS
        values = np.frombuffer(view, dtype="<f8", count=count * PHASES * blocks, offset=_HEADER.size)
        if not np.all(np.isfinite(values)):
            raise FrameError("contains values that are not finite")
        flags = np.frombuffer(view, dtype=np.uint8, count=count, offset=expected - count)
        if np.any(flags > _PHASE_FLAGS.sum(dtype=np.uint8) | _CLOSED):
            raise FrameError("contains flags other than three phases and closed")
        arrays = values.reshape(blocks, count, PHASES).astype(np.float64, copy=False)
        return cls(
            sequence=sequence,
            time_s=time_s,
            phase_energised=(flags[:, np.newaxis] & _PHASE_FLAGS) > 0,
            reactive_varh=arrays[len(_ARRAYS) :],
            breaker_closed=(flags & _CLOSED) > 0,
            **dict(zip(_ARRAYS, arrays, strict=False)),
        )


def by_quadrant(active: NDArray[np.float64], reactive: NDArray[np.float64]) -> NDArray[np.float64]:
    """The amount of `reactive` (n, 3), 4 times: in the row of its quadrant, and 0 in the three others."""
    imports, reactive_in = active >= 0.0, reactive >= 0.0
    quadrants = (imports & reactive_in, ~imports & reactive_in, ~imports & ~reactive_in, imports & ~reactive_in)
    amounts: NDArray[np.float64] = np.abs(reactive) * np.array(quadrants)
    return amounts
