"""A foreign peer in a process of its own: JSON lines in, JSON lines out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

_DEADLINE_S = 60.0

Line = dict[str, Any]


class Peer:
    """`script` of tests/interop/peers, run by the `program` of the peer's own environment: its Python, or node."""

    def __init__(self, program: Path, script: str, *arguments: object) -> None:
        self._command = [str(program), str(Path(__file__).parent / "peers" / script), *map(str, arguments)]
        self.lines: list[Line] = []

    async def start(self) -> Peer:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=pipe, stdout=pipe, stderr=pipe, limit=2**24
        )
        self._changed = asyncio.Condition()
        self._ended = False
        self._reader = asyncio.create_task(self._read())
        self._errors = asyncio.create_task(self._process.stderr.read())  # type: ignore[union-attr]  # a pipe
        return self

    async def tell(self, **line: object) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        stdin.write(json.dumps(line).encode() + b"\n")
        await stdin.drain()

    async def until(self, condition: Callable[[list[Line]], object], what: str) -> None:
        """Returns when `condition` holds for the lines so far; fails with what the peer said on stderr if it ends."""
        try:
            async with asyncio.timeout(_DEADLINE_S), self._changed:
                await self._changed.wait_for(lambda: condition(self.lines) or self._ended)
        except TimeoutError:
            said = [f"{line!s:.200}" for line in self.lines[-5:]]
            raise AssertionError(f"{what} did not come; the last lines: {said}") from None
        if not condition(self.lines):
            raise AssertionError(f"the peer ended before {what}: {(await self._errors).decode()}")

    async def stop(self) -> None:
        """End its stdin, at which it leaves; fails if it left with an error."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(_DEADLINE_S):
                code = await self._process.wait()
                await self._reader
        except TimeoutError:
            self._process.kill()
            raise
        assert code == 0, (await self._errors).decode()

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            async with self._changed:
                self.lines.append(json.loads(line))
                self._changed.notify_all()
        async with self._changed:
            self._ended = True
            self._changed.notify_all()
