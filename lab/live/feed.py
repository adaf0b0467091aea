"""The event stream: what happened to the lab and what the head-end made of it, for any number of listeners."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

Tone = Literal["neutral", "good", "warning", "bad"]
Source = Literal["lab", "head-end"]
Secret = Literal["truth", "outages", "collectors"]
"""What an exercise may hide: what only the lab knows, or what the head-end concludes."""
KEPT = 500


@dataclass(frozen=True, slots=True)
class Event:
    """`number`: ascending from 1. `at_s`: the simulated instant [epoch s].

    `reveals`: what would be no secret any more if it were shown.
    """

    number: int
    at_s: int
    source: Source
    tone: Tone
    text: str
    reveals: Secret | None = None


class Feed:
    """Keeps the last events, and wakes listeners for them and for anything else that is new."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=KEPT)
        self._count = 0
        self._listeners: set[asyncio.Event] = set()

    def tell(
        self,
        at_s: int,
        source: Source,
        text: str,
        tone: Tone = "neutral",
        *,
        reveals: Secret | None = None,
    ) -> None:
        self._count += 1
        self._events.append(Event(self._count, at_s, source, tone, text, reveals))
        self.wake()

    def after(self, number: int, hidden: Collection[Secret] = ()) -> list[Event]:
        """Events after this one, but for those that reveal what is `hidden`; by their instant, then as they came."""
        news = [event for event in self._events if event.number > number and event.reveals not in hidden]
        return sorted(news, key=lambda event: event.at_s)

    def wake(self) -> None:
        for listener in self._listeners:
            listener.set()

    @property
    def listeners(self) -> int:
        """How many there are."""
        return len(self._listeners)

    @contextmanager
    def listening(self) -> Iterator[asyncio.Event]:
        """An event that is set whenever there is something new."""
        news = asyncio.Event()
        news.set()
        self._listeners.add(news)
        try:
            yield news
        finally:
            self._listeners.discard(news)
