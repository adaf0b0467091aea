"""What became of frames on their way through a communications network, as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, unique
from typing import Any

import numpy as np
from numpy.typing import NDArray


@unique
class DeliveryClass(IntEnum):
    """How urgent a frame is (RFC 8036, 4.2). Values are kept in files; the lower goes ahead of the higher."""

    ALARM = 1
    """C1: outage and restoration, price and emergency signals."""
    CONTROL = 2
    """C2: power quality, connect and disconnect."""
    SYSTEM = 3
    """C3: faults, configuration, security."""
    READ = 4
    """C4: meter reads."""
    FIRMWARE = 5
    """C5: an image of firmware, block by block, as one frame."""
    GASP = 11
    """A last gasp. As urgent as C1, and told apart: whoever says it has no supply."""

    @property
    def rank(self) -> int:
        """To sort by: what goes first."""
        return 1 if self is DeliveryClass.GASP else int(self)


@unique
class Direction(IntEnum):
    """Which way a frame goes."""

    UP = 0
    """To the head-end."""
    DOWN = 1


@unique
class Cause(IntEnum):
    """What a frame was lost or delayed by most; ON_TIME where nothing was unusual. Values are kept in files."""

    ON_TIME = 0
    DARK = 1
    """A neighbour, a repeater or the medium itself has no supply."""
    RADIO = 2
    """Attenuation or noise: hops or repetitions that failed."""
    COLLISION = 3
    """Others sent at the same time."""
    COLLECTOR = 4
    """The collector does not run, or is busy with others."""
    CELL = 5
    """A cell or an operator that is down, full, or does not reach so far."""
    BACKHAUL = 6
    """Between collector and head-end."""
    ENERGY = 7
    """The super-capacitor was empty before it got through."""
    JAMMED = 8
    """Somebody disturbs the medium on purpose."""
    BULK = 9
    """The air was shared with an image of firmware."""
    REGISTRATION = 10
    """The concentrator of a power line does not know the meter yet, and has not asked it."""


@dataclass(frozen=True, slots=True)
class Passage:
    """Of m frames: `arrives_s` (m,) epoch seconds, inf where never; `cause`, `hops` and `attempts` (m,)."""

    arrives_s: NDArray[np.float64]
    cause: NDArray[np.uint8]
    hops: NDArray[np.uint8]
    attempts: NDArray[np.uint8]
    """Transmissions over all hops; what a poll, an attach or a repetition is, too."""
    again_s: NDArray[np.float64]
    """When it arrives a second time, since its acknowledgement was lost; inf where it does not."""

    @property
    def arrives(self) -> NDArray[np.bool_]:
        """Which get there at all."""
        arrives: NDArray[np.bool_] = np.isfinite(self.arrives_s)
        return arrives

    @classmethod
    def of(cls, count: int) -> Passage:
        """Of so many frames that have not arrived yet."""
        never_s = np.full(count, np.inf)
        cause, hops, attempts = (np.zeros(count, dtype=np.uint8) for _ in range(3))
        return cls(never_s, cause, hops, attempts, never_s.copy())

    def lost(self, which: NDArray[np.bool_] | bool, cause: Cause) -> Passage:
        """The same, but these (m,), or all or none of them, are lost by this cause."""
        return Passage(
            np.where(which, np.inf, self.arrives_s),
            np.where(which, np.uint8(cause), self.cause),
            self.hops,
            self.attempts,
            np.where(which, np.inf, self.again_s),
        )

    def replaced(self, which: NDArray[np.bool_], by: Passage) -> Passage:
        """The same, but with `by` in place of these (m,)."""

        def put(own: NDArray[Any], others: NDArray[Any]) -> NDArray[Any]:
            changed = own.copy()
            changed[which] = others
            return changed

        return Passage(*(put(getattr(self, name), getattr(by, name)) for name in self.__slots__))


DELIVERY = np.dtype(
    [
        # Row of the meter in its shard.
        ("row", "<i4"),
        ("direction", "u1"),
        ("delivery_class", "u1"),
        ("cause", "u1"),
        ("hops", "u1"),
        ("attempts", "u1"),
        # Whether the meter had supply when it was sent.
        ("lit", "?"),
        ("bytes", "<u4"),
        # Start of the interval [epoch s], sequence of the event, or counter of the command; -1: of none. Less: of a
        # registration, the negative instant since when its meter is back [epoch s].
        ("about", "<i8"),
        ("sent_s", "<f8"),
        # At the broker (up) or the meter (down); NaN: never.
        ("arrived_s", "<f8"),
    ]
)
"""One frame, as the truth of a run keeps it."""
