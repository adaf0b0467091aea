"""Random numbers without a generator's state.

A draw is a function of (seed, serial, purpose, counter). So it does not depend on how meters are sharded, on the order
in which they act, or on how often the process was restarted, and nothing has to be kept in durable memory to go on.

The mixing function is splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from enum import IntEnum, unique

import numpy as np
from numpy.typing import NDArray

_GOLDEN_GAMMA = 0x9E3779B97F4A7C15


def _constant(value: int) -> NDArray[np.uint64]:
    """() modulo 2 to the 64. Most draws are of few keys: numpy then takes longest to look at what is no array."""
    return np.array(value & 0xFFFFFFFFFFFFFFFF, dtype=np.uint64)


_GAMMA, _MIX_1, _MIX_2 = (_constant(value) for value in (_GOLDEN_GAMMA, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_11, _27, _30, _31 = (_constant(bits) for bits in (11, 27, 30, 31))
_TO_UNIT = 1.0 / (1 << 53)


@unique
class Purpose(IntEnum):
    """What a draw is for. Values are frozen: changing one changes every run of every seed."""

    CLASS_ERROR = 1
    INITIAL_REGISTER = 2
    NEAR_ROLL_OVER = 3
    REGISTER_REMAINDER = 4
    CLOCK_OFFSET = 5
    CLOCK_DRIFT = 6
    SYNC_PHASE = 7
    SYNC_ERROR = 8
    QUALIFYING_OFFSET = 9
    BOOT_DELAY = 10
    FIRST_CONNECT = 11
    RECONNECT = 12
    REPORT_OFFSET = 13
    GASP_HEARD = 14
    PHASE_ERROR = 15
    LOW_LOAD_ERROR = 16
    DISPLACEMENT = 17
    VOLTAGE_ERROR = 18
    DISTORTION = 40
    FRAME = 50
    FRAME_KIND = 51
    LINK_SHADOW = 52
    LINK_SHADOW_ANGLE = 53
    HOP = 54
    HOP_DELAY = 55
    RETRY_DELAY = 56
    ACKNOWLEDGED = 57
    GASP = 58
    GASP_WAIT = 59
    GASP_CLEAR = 60
    POLL = 61
    POLL_TIME = 62
    LATE_REGISTRATION = 63
    REGISTRATION_DELAY = 64
    CELL_SHADOW = 65
    CELL_SHADOW_ANGLE = 66
    OPERATOR = 67
    ATTACH = 68
    ATTACH_WAIT = 69
    CELL_DELAY = 70
    CELL_LOSS = 71
    BACKHAUL_DELAY = 72
    BACKHAUL_LOSS = 73
    SWITCH_DELAY = 74
    AVAILABILITY = 75
    SPELL = 76
    IMAGE_RESTART = 77


def meter_keys(seed: int, serials: Sequence[str]) -> NDArray[np.uint64]:
    """One 64-bit key per meter, (n,)."""
    digests = b"".join(hashlib.blake2b(f"{seed}/{serial}".encode(), digest_size=8).digest() for serial in serials)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def uniform(
    keys: NDArray[np.uint64], purpose: Purpose, counter: int | NDArray[np.int64], low: float = 0.0, high: float = 1.0
) -> NDArray[np.float64]:
    """One float in [low, high) per key, (m,). `counter` tells draws of the same purpose apart: a scalar or (m,)."""
    mixed = derived(keys, purpose, counter)
    return low + (high - low) * ((mixed >> _11).astype(np.float64) * _TO_UNIT)


def normal(
    keys: NDArray[np.uint64], purpose: Purpose, angle: Purpose, counter: int | NDArray[np.int64]
) -> NDArray[np.float64]:
    """One standard normal number per key (m,), of two draws: of `purpose`, and of `angle` (Box and Muller, 1958)."""
    radius = np.sqrt(-2.0 * np.log1p(-uniform(keys, purpose, counter)))
    number: NDArray[np.float64] = radius * np.cos(2.0 * np.pi * uniform(keys, angle, counter))
    return number


def derived(keys: NDArray[np.uint64], purpose: Purpose, counter: int | NDArray[np.int64]) -> NDArray[np.uint64]:
    """A further key per key, (m,), for draws about one thing that a device does many of: a frame, for instance."""
    mixed = _mix(keys + _constant(purpose * _GOLDEN_GAMMA))
    if isinstance(counter, (int, np.integer)):
        return _mix(mixed + _constant(int(counter) * _GOLDEN_GAMMA))
    return _mix(mixed + counter.astype(np.uint64) * _GAMMA)


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    mixed = values + _GAMMA
    mixed = (mixed ^ (mixed >> _30)) * _MIX_1
    mixed = (mixed ^ (mixed >> _27)) * _MIX_2
    return mixed ^ (mixed >> _31)
