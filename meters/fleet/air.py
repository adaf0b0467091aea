"""What is on its way through a communications network: a queue by the second of arrival. Pure.

Arrivals are handed over in whole seconds, so that they are grants like all others. Within a second their order follows
from what they are, not from when somebody put them here: the same run has the same order in any process.
"""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

import numpy as np

from meters.device.state import NEVER_S

T = TypeVar("T")

Order = tuple[float, ...]
"""What comes first within a second: usually rank, exact arrival, and the meter. Equal ones keep the order of `put`."""


class Air(Generic[T]):
    """Items under way, each due at a whole second."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, Order, int, T]] = []
        self._puts = 0
        self.due_s = np.full(1, NEVER_S)
        """(1,) the earliest instant at which something arrives [epoch s], as one of a carrier's timers."""

    def __len__(self) -> int:
        return len(self._heap)

    def put(self, due_s: int, order: Order, item: T) -> None:
        """`item` arrives at `due_s` [epoch s]."""
        self._puts += 1
        heapq.heappush(self._heap, (due_s, order, self._puts, item))
        self.due_s[0] = self._heap[0][0]

    def take(self, now_s: float) -> list[T]:
        """What has arrived by `now_s`, in order. What is put meanwhile, also for now, is of the next call."""
        arrived = []
        while self._heap and self._heap[0][0] <= now_s:
            arrived.append(heapq.heappop(self._heap)[-1])
        self.due_s[0] = self._heap[0][0] if self._heap else NEVER_S
        return arrived
