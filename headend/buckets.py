"""So much at once, so much an hour: budgets that refill with time. Pure; time is the head-end's clock."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Protocol


class Rate(Protocol):
    """How much a budget holds, and by how much it refills."""

    @property
    def at_once(self) -> int: ...

    @property
    def per_hour(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Allowance:
    """A rate of messages."""

    at_once: int
    per_hour: int


class Buckets:
    """One budget for each key; all are full at first."""

    def __init__(self) -> None:
        # By key: what is left, as of when.
        self._left: dict[Hashable, tuple[float, float]] = {}

    def left(self, key: Hashable, rate: Rate, now_s: float, *, hour_s: float = 3600.0) -> float:
        """What may be taken now. `hour_s`: what an hour is to this key."""
        left, since_s = self._left.get(key, (float(rate.at_once), now_s))
        return min(float(rate.at_once), left + (now_s - since_s) / hour_s * rate.per_hour)

    def take(self, key: Hashable, rate: Rate, now_s: float, amount: float, *, hour_s: float = 3600.0) -> bool:
        """Take so much; False, and nothing is taken, if it is not left."""
        left = self.left(key, rate, now_s, hour_s=hour_s)
        enough = amount <= left
        self._left[key] = (left - amount if enough else left), now_s
        return enough
