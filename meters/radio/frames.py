"""Frames that are about to be sent, as plain arrays: what a medium is asked to carry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from meters.device.draws import Purpose, derived
from meters.radio.passage import DeliveryClass, Direction

_MS = 1_000


@dataclass(frozen=True, slots=True)
class Frames:
    """m frames. `rows` (m,) number stations within one collector or cell; `sent_s` (m,) epoch seconds.

    `delivery_class` (m,) holds values of DeliveryClass, `size_bytes` (m,) payloads. `about` (m,) tells frames of one
    class apart: the start of an interval, the sequence of an event, the counter of a command.
    """

    rows: NDArray[np.intp]
    sent_s: NDArray[np.float64]
    delivery_class: NDArray[np.uint8]
    about: NDArray[np.int64]
    size_bytes: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        rows: ArrayLike,
        sent_s: ArrayLike,
        delivery_class: DeliveryClass | ArrayLike,
        about: ArrayLike,
        size_bytes: ArrayLike = 100,
    ) -> Frames:
        """One for each row; the others may be a single value for all. Raises ValueError: lengths do not fit."""
        own = np.atleast_1d(np.asarray(rows, dtype=np.intp))
        return cls(
            own,
            np.broadcast_to(np.asarray(sent_s, dtype=np.float64), own.shape),
            np.broadcast_to(np.asarray(delivery_class, dtype=np.uint8), own.shape),
            np.broadcast_to(np.asarray(about, dtype=np.int64), own.shape),
            np.broadcast_to(np.asarray(size_bytes, dtype=np.int64), own.shape),
        )

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def ranks(self) -> NDArray[np.uint8]:
        """(m,) by which they go ahead of each other: the lower first."""
        gasps = self.of_class(DeliveryClass.GASP)
        return np.where(gasps, np.uint8(DeliveryClass.GASP.rank), self.delivery_class)

    def of_class(self, delivery_class: DeliveryClass) -> NDArray[np.bool_]:
        """Which (m,) are of this class."""
        which: NDArray[np.bool_] = self.delivery_class == int(delivery_class)
        return which

    def keys(self, keys: NDArray[np.uint64], direction: Direction) -> NDArray[np.uint64]:
        """A key for the draws of each frame, (m,), from those of the stations, (n,).

        Who sends the same again at another instant draws anew.
        """
        kind = (self.delivery_class.astype(np.int64) << 1) | int(direction)
        sent_ms = np.floor(self.sent_s * _MS).astype(np.int64)
        return derived(derived(keys[self.rows], Purpose.FRAME, self.about), Purpose.FRAME_KIND, (sent_ms << 6) | kind)

    def at(self, rows: ArrayLike, sent_s: ArrayLike) -> Frames:
        """The same frames at other stations and instants, single values or (m,)."""
        return Frames.of(
            np.broadcast_to(np.asarray(rows, dtype=np.intp), self.rows.shape),
            sent_s,
            self.delivery_class,
            self.about,
            self.size_bytes,
        )

    def part(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> Frames:
        """Those of them, by a mask (m,) or by index."""
        return Frames(
            self.rows[which],
            self.sent_s[which],
            self.delivery_class[which],
            self.about[which],
            self.size_bytes[which],
        )


def pieces_of(size_bytes: NDArray[np.int64], most_bytes: int) -> NDArray[np.int64]:
    """Into how many pieces (m,) of at most so many bytes each payload is cut."""
    pieces: NDArray[np.int64] = -(-np.maximum(size_bytes, 1) // most_bytes)
    return pieces
