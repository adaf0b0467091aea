"""The relay with which a meter disconnects its customer, whoever asks for it.

It is bistable: where it was put it stays, with supply or without. Moving it takes three steps. `put` changes the state;
the caller keeps that in durable memory; `act` then lets the customer's breaker follow. Whoever drives the breakers asks
`take` what has moved. A process that goes on from its memory tells every position: what it kept last, it may not have
told.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from meters.device.state import Rows, ShardState, field


class Cause(StrEnum):
    """Who moved a relay."""

    LOCAL = "local"
    """Somebody on site."""


class Relays:
    """The relays behind the field `relay_open` of a shard's state."""

    def __init__(self, state: ShardState, *, resumed: bool) -> None:
        """`resumed`: the state is that of an earlier process."""
        self._open = field(state, "relay_open")
        self._untold: set[int] = set(range(len(state))) if resumed else set()

    def put(self, rows: Rows, *, closed: bool) -> Rows:
        """Those of `rows` that move: their state is to be kept before they `act`."""
        moving: Rows = np.unique(rows[self._open[rows] == closed])
        self._open[moving] = not closed
        return moving

    def act(self, rows: Rows) -> None:
        """What was put is kept."""
        self._untold.update(rows.tolist())

    def take(self) -> dict[int, bool]:
        """Whether these are closed, of the meters whose relay has acted since the last call."""
        told = {row: not bool(self._open[row]) for row in sorted(self._untold)}
        self._untold.clear()
        return told
