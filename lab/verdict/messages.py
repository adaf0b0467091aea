"""Frames of a communications network, and the messages that they belong to (lab/verdict/deliveries.py). Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lab.verdict.keys import Int, codes_of, integers, micros
from lab.verdict.tables import CAUSES

Float = NDArray[np.float64]
Mask = NDArray[np.bool_]
_UNDER_WAY_S = 60.0
_NEVER_US = np.iinfo(np.int64).min
_NO_SUPPLY = [CAUSES.index("dark"), CAUSES.index("collector")]
_OF_NOTHING = -1


@dataclass(frozen=True, slots=True)
class Frames:
    """Columns of `DELIVERIES` (n,), names as codes. Times are epoch seconds; `arrived_s` is inf where never."""

    serials: tuple[str, ...]
    technologies: tuple[str, ...]
    carriers: tuple[str, ...]
    serial: Int
    technology: Int
    via: Int
    direction: Int
    delivery_class: Int
    cause: Int
    hops: Int
    attempts: Int
    size_bytes: Int
    about: Int
    lit: Mask
    sent_s: Float
    arrived_s: Float

    @classmethod
    def of(cls, table: pa.Table) -> Frames:
        arrived_us = micros(table["arrived_at"])
        serials, serial = _named(table["serial"])
        technologies, technology = _named(table["technology"])
        carriers, via = _named(table["via"])
        return cls(
            serials=serials,
            technologies=technologies,
            carriers=carriers,
            serial=serial,
            technology=technology,
            via=via,
            direction=integers(table["direction"]),
            delivery_class=integers(table["delivery_class"]),
            cause=integers(table["cause"]),
            hops=integers(table["hops"]),
            attempts=integers(table["attempts"]),
            size_bytes=integers(table["bytes"]),
            about=integers(table["about"]),
            lit=np.asarray(table["lit"].to_numpy(), dtype=bool),
            sent_s=micros(table["sent_at"]) / 1e6,
            arrived_s=np.where(arrived_us == _NEVER_US, np.inf, arrived_us / 1e6),
        )

    @property
    def unsent(self) -> Mask:
        """What was wanted, and could not even be sent or asked for."""
        unsent: Mask = self.attempts == 0
        return unsent

    @property
    def held(self) -> Mask:
        """Unsent for want of supply: of the meter itself, of all that could relay for it, or of its collector."""
        held: Mask = self.unsent & (~self.lit | np.isin(self.cause, _NO_SUPPLY))
        return held

    @property
    def arrived(self) -> Mask:
        arrived: Mask = np.isfinite(self.arrived_s)
        return arrived

    @property
    def in_the_air(self) -> Mask:
        """Sent so shortly before all ended that nobody knows what would have become of it."""
        in_the_air: Mask = ~self.arrived & ~self.unsent & (self.sent_s > self.seen_until_s - _UNDER_WAY_S)
        return in_the_air

    @property
    def lost(self) -> Mask:
        """Sent, and never arrived."""
        lost: Mask = ~self.arrived & ~self.unsent & ~self.in_the_air
        return lost

    @property
    def seen_until_s(self) -> float:
        """The latest instant of which anything is known."""
        if not len(self.sent_s):
            return -np.inf
        return float(max(self.sent_s.max(), np.max(self.arrived_s, initial=-np.inf, where=self.arrived)))


@dataclass(frozen=True, slots=True)
class Messages:
    """(k,): `first` is the first frame that was not held, if there is one, and `wanted_s` its instant.

    `arrived_s`: when any of its frames first arrived. `sent`: whether any was sent; `held`: all of them were.
    """

    first: Int
    delivery_class: Int
    technology: Int
    lit: Mask
    sent: Mask
    held: Mask
    wanted_s: Float
    arrived_s: Float

    @classmethod
    def of(cls, frames: Frames) -> Messages:
        keys = (frames.about, frames.delivery_class, frames.direction, frames.serial)
        held = frames.held
        order = np.lexsort((frames.sent_s, held, *keys))
        # What is about nothing in particular is a message by itself.
        begins = frames.about[order] == _OF_NOTHING
        begins[:1] = True
        for key in keys:
            begins[1:] |= key[order][1:] != key[order][:-1]
        at = np.flatnonzero(begins)
        first = order[at]
        nobody = len(at) == 0
        return cls(
            first=first,
            delivery_class=frames.delivery_class[first],
            technology=frames.technology[first],
            lit=frames.lit[first],
            sent=np.zeros(0, dtype=bool) if nobody else np.logical_or.reduceat(~frames.unsent[order], at),
            held=held[first],
            wanted_s=frames.sent_s[first],
            arrived_s=np.zeros(0) if nobody else np.minimum.reduceat(frames.arrived_s[order], at),
        )


def _named(column: pa.ChunkedArray) -> tuple[tuple[str, ...], Int]:
    """Names, and the code of each row's."""
    known: dict[str, int] = {}
    codes = codes_of(column, known)
    return tuple(known), codes
