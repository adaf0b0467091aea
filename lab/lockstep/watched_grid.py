"""A grid that somebody looks at."""

from __future__ import annotations

from collections.abc import Callable

from lab.lockstep.barrier import NOTHING_SWITCHED, Grid, GridStep, Switched


class WatchedGrid:
    """Shows each new frame of `grid` to `look`."""

    def __init__(self, grid: Grid, look: Callable[[bytes], None]) -> None:
        self._grid = grid
        self._look = look

    async def advance(self, now_s: int, switched: Switched = NOTHING_SWITCHED) -> GridStep:
        step = await self._grid.advance(now_s, switched)
        if step.frame is not None:
            self._look(step.frame)
        return step
