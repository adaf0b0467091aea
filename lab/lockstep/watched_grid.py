"""A grid that somebody looks at."""

from __future__ import annotations

from collections.abc import Callable

from lab.lockstep.barrier import Grid, GridStep


class WatchedGrid:
    """Shows each new frame of `grid` to `look`."""

    def __init__(self, grid: Grid, look: Callable[[bytes], None]) -> None:
        self._grid = grid
        self._look = look

    async def advance(self, now_s: int) -> GridStep:
        step = await self._grid.advance(now_s)
        if step.frame is not None:
            self._look(step.frame)
        return step
