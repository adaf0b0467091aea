"""Maximum demand: the highest mean power of a demand period. Pure.

- **Of meters with a load profile** (`MaximumDemand`): block demand of active energy imported. Its period is the capture
  period, on the meter's own clock (OBIS 1.6.0, a DLMS extended register, with the time at which it was captured), since
  the month began. A billing period ends with the calendar month in UTC, which is amilab's own.
- **Of meters that keep none** (`BLOCKS`): means over blocks that follow one another, and the highest of each since a
  reset. What a meter measures is constant between two physical frames, so the mean of each block is exact, whoever
  asks and however often. The first block begins with the run, and one anew when its length is changed.
  `meters/fleet/demands.py` keeps those of a shard.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meters.device.quantities import DEMANDED, PHASES
from meters.device.state import Rows, ShardState, field

Float = NDArray[np.float64]


class MaximumDemand:
    """The fields `max_demand_*` and `demand_month` of a shard's state."""

    def __init__(self, state: ShardState) -> None:
        self._most_w = field(state, "max_demand_import_w")
        self._at_s = field(state, "max_demand_at_s")
        self._month = field(state, "demand_month")

    def begin(self, start_s: int) -> None:
        """All billing periods begin."""
        self._at_s[:] = start_s
        self._month[:] = _months(np.array([start_s]))[0]

    def close(self, rows: Rows, demand_w: NDArray[np.float64], end_s: NDArray[np.int64]) -> None:
        """The demand (m,) of a capture period of `rows` that ended at the device times `end_s` (m,)."""
        # A period that ends with the month belongs to it.
        months = _months(end_s - 1)
        higher = (demand_w > self._most_w[rows]) | (months != self._month[rows])
        self._month[rows] = months
        self._most_w[rows] = np.where(higher, demand_w, self._most_w[rows])
        self._at_s[rows] = np.where(higher, end_s, self._at_s[rows])

    def shown(self, rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The highest demand (m,) in whole W, and the device time (m,) at which its period ended."""
        return np.rint(self._most_w[rows]).astype(np.int64), self._at_s[rows].astype(np.int64)


def _months(device_s: NDArray[np.int64]) -> NDArray[np.int64]:
    """Months (m,) since January 1970."""
    months: NDArray[np.int64] = device_s.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)
    return months


_MANY = (len(DEMANDED),)

BLOCKS = np.dtype(
    [
        # What is measured since `from_s`, and its sum over the block that began at `begin_s`, up to `from_s`.
        ("from_s", "<f8"),
        ("measured", "<f8", _MANY),
        ("begin_s", "<f8"),
        ("sum", "<f8", _MANY),
        # Of the last block that ended, and the highest since the last reset.
        ("last", "<f8", _MANY),
        ("most", "<f8", _MANY),
        # Of the currents, since the run began.
        ("charge_ah", "<f8"),
    ]
)


def blocks_from(now_s: float, count: int) -> NDArray[np.void]:
    """Of `count` meters that begin at `now_s`, having measured nothing."""
    blocks = np.zeros(count, dtype=BLOCKS)
    blocks["from_s"] = blocks["begin_s"] = now_s
    return blocks


def advanced(blocks: NDArray[np.void], now_s: float, period_s: Float) -> NDArray[np.void]:
    """The blocks (m,) at `now_s`. With a `period_s` (m,) of 0 the demand is what is measured."""
    on = blocks.copy()
    elapsed_s = np.maximum(now_s - blocks["from_s"], 0.0)
    at_once = period_s <= 0.0
    period = np.where(at_once, 1.0, period_s)
    ended = np.where(at_once, 0.0, np.floor((now_s - blocks["begin_s"]) / period))
    measured = blocks["measured"]
    first_end_s = blocks["begin_s"] + period
    first = (blocks["sum"] + measured * (first_end_s - blocks["from_s"])[:, np.newaxis]) / period[:, np.newaxis]
    some, more = (ended >= 1)[:, np.newaxis], (ended >= 2)[:, np.newaxis]
    instant = at_once[:, np.newaxis]
    on["last"] = np.where(instant | more, measured, np.where(some, first, blocks["last"]))
    most = np.where(some, np.maximum(blocks["most"], first), blocks["most"])
    on["most"] = np.where(instant | more, np.maximum(most, measured), most)
    on["begin_s"] = np.where(at_once, now_s, blocks["begin_s"] + ended * period)
    since_s = np.where(ended >= 1, now_s - on["begin_s"], elapsed_s)[:, np.newaxis]
    on["sum"] = np.where(instant, 0.0, np.where(some, 0.0, blocks["sum"]) + measured * since_s)
    on["charge_ah"] = blocks["charge_ah"] + measured[:, -len(PHASES) :].sum(axis=1) * elapsed_s / 3600.0
    on["from_s"] = np.maximum(blocks["from_s"], now_s)
    return on


def demanded(power_w: Float, reactive_var: Float, current_a: Float, neutral_a: Float) -> Float:
    """What demand is the mean of, (m, DEMANDED): from powers and currents of each phase (m, 3), and the neutral's."""
    net_w = power_w.sum(axis=1)
    apparent_va = np.hypot(power_w, reactive_var).sum(axis=1)
    return np.column_stack([net_w, np.maximum(net_w, 0.0), np.maximum(-net_w, 0.0), apparent_va, neutral_a, current_a])
