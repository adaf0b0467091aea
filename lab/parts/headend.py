"""The head-end as a part: the production object under the lab's clock, or under the wall clock at speed 1."""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from collections.abc import Sequence

from pydantic import ValidationError

from headend.clock import ManualClock, WallClock
from headend.errors import CommandError, HeadEndError
from headend.service import HeadEnd
from headend.settings import HeadEndSettings, faults_of_environment
from lab.errors import UserError
from lab.lockstep.link import Body, Handler, NotBegun
from lab.parts.process import run_part

Answer = tuple[Body, Sequence[bytes]]


class HeadPart:
    def __init__(self) -> None:
        self._clock = ManualClock(0.0)
        self._head: HeadEnd | None = None
        self._running: asyncio.Task[None] | None = None

    def handlers(self) -> dict[str, Handler]:
        return {
            "init": self.init,
            "begin": self.begin,
            "advance": self.advance,
            "settle": self.settle,
            "fence_devices": self.fence_devices,
            "renew": self.renew,
            "hold": self.hold,
            "drop": self.drop,
            "stats": self.stats,
            "command": self.command,
            "stop": self.stop,
        }

    @property
    def head(self) -> HeadEnd:
        if self._head is None:
            raise NotBegun
        return self._head

    async def init(self, body: Body, _blobs: Sequence[bytes]) -> Answer:
        try:
            settings = HeadEndSettings(**body["settings"])
        except ValidationError as error:
            # What the lab gives is right; the rest comes from the environment.
            raise UserError(
                faults_of_environment(error), "Correct or unset these variables of the environment."
            ) from error
        if body["wall_clock"]:
            self._head = HeadEnd(settings, WallClock())
        else:
            self._clock.set(body["now_s"])
            self._head = HeadEnd(settings, self._clock)
        try:
            await self._head.start()
        except HeadEndError as error:
            raise UserError([str(error)]) from error
        if body["wall_clock"]:
            self._running = asyncio.create_task(self._head.run_timers(), name="head-end timers")
            self._running.add_done_callback(_end_with)
        return {}, ()

    async def begin(self, body: Body, _blobs: Sequence[bytes]) -> Answer:
        self._clock.set(body["now_s"])
        return {}, ()

    async def advance(self, _body: Body, _blobs: Sequence[bytes]) -> Answer:
        await self.head.advance()
        return {"next_due_s": self.head.next_due()}, ()

    async def settle(self, _body: Body, _blobs: Sequence[bytes]) -> Answer:
        settled = await self.head.settle()
        return {
            "connected": settled.connected,
            "received": settled.received,
            "commanded": list(settled.commanded),
            "next_due_s": self.head.next_due(),
        }, ()

    async def fence_devices(self, body: Body, _blobs: Sequence[bytes]) -> Answer:
        await self.head.fence_devices(body["stations"], body["token"])
        return {}, ()

    async def renew(self, _body: Body, _blobs: Sequence[bytes]) -> Answer:
        self.head.renew()
        return {}, ()

    async def hold(self, _body: Body, _blobs: Sequence[bytes]) -> Answer:
        self.head.hold()
        return {}, ()

    async def drop(self, _body: Body, _blobs: Sequence[bytes]) -> Answer:
        self.head.drop()
        return {}, ()

    async def stats(self, _body: Body, _blobs: Sequence[bytes]) -> Answer:
        return {"stats": self.head.ingest_stats()}, ()

    async def command(self, body: Body, _blobs: Sequence[bytes]) -> Answer:
        """Make commands for those of the devices that this process reaches."""
        if self._running is None:
            self._clock.set(body["now_s"])
        try:
            made = await self.head.commands.request(
                body["purpose"], body["serials"], by=body["by"], within_s=body["within_s"]
            )
        except CommandError as error:
            raise UserError(error.faults) from error
        return {"made": [[each.command_id, each.serial, each.state, each.reason] for each in made]}, ()

    async def stop(self, _body: Body, _blobs: Sequence[bytes]) -> Answer:
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        if self._head is not None:
            await self._head.stop()
        return {}, ()


def _end_with(timers: asyncio.Task[None]) -> None:
    """Nobody awaits the timers: without this the part would answer on, and a head-end that does nothing be judged."""
    if not timers.cancelled() and (error := timers.exception()) is not None:
        traceback.print_exception(error)
        sys.stderr.flush()
        os._exit(1)


if __name__ == "__main__":
    run_part("The head-end system of an amilab run.", lambda _name: HeadPart().handlers())
