"""Fences: marks that we send to ourselves, to know that all that was sent before has come, and is committed."""

import asyncio
import random
from collections.abc import Iterable
from typing import Generic, TypeVar

S = TypeVar("S")


class Fences(Generic[S]):
    """Those under way, by the source that brings them."""

    def __init__(self) -> None:
        # A fence of an earlier life may still be with the broker.
        self._life = f"{random.getrandbits(64):016x}"
        self._count = 0
        self._waiting: dict[str, tuple[S, asyncio.Future[bool]]] = {}

    def expect(self, source: S) -> tuple[str, asyncio.Future[bool]]:
        """A token, and a future: True when it came and all before it is committed, False if `source` is lost first."""
        self._count += 1
        token = f"{self._life}-{self._count}"
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[token] = source, future
        return token, future

    def passed(self, tokens: Iterable[str]) -> None:
        """These came, and all before them is committed."""
        for token in tokens:
            _, future = self._waiting.pop(token, (None, None))
            _resolve(future, True)

    def lost(self, source: S | None = None) -> None:
        """What was under way to a source does not come any more. None: to none of them."""
        for token, (expected, future) in list(self._waiting.items()):
            if source is None or expected is source:
                del self._waiting[token]
                _resolve(future, False)


def _resolve(future: asyncio.Future[bool] | None, result: bool) -> None:
    if future is not None and not future.done():
        future.set_result(result)
