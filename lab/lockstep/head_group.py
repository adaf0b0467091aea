"""A head-end in several processes as one member of the barrier."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from lab.lockstep.barrier import Head, HeadRound


class HeadGroup:
    """`core` sends the commands, and therefore the fences behind them; `others` ingest, or poll."""

    def __init__(self, core: Head, others: Sequence[Head]) -> None:
        self._core = core
        self._all = (core, *others)

    async def begin(self, now_s: int) -> None:
        await asyncio.gather(*(head.begin(now_s) for head in self._all))

    async def advance(self) -> None:
        await asyncio.gather(*(head.advance() for head in self._all))

    async def settle(self) -> HeadRound:
        rounds = await asyncio.gather(*(head.settle() for head in self._all))
        due_s = [found.next_due_s for found in rounds if found.next_due_s is not None]
        return HeadRound(
            connected=all(found.connected for found in rounds),
            commanded=sorted({station for found in rounds for station in found.commanded}),
            next_due_s=min(due_s, default=None),
        )

    async def fence_devices(self, token: str, stations: Sequence[str]) -> bool:
        return await self._core.fence_devices(token, stations)
