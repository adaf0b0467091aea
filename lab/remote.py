"""The barrier's members, reached over the link."""

from __future__ import annotations

from collections.abc import Sequence

from lab.barrier import FleetRound, GridStep, HeadRound
from lab.link import LabLink


class RemoteGrid:
    def __init__(self, link: LabLink, name: str) -> None:
        self._link = link
        self.name = name

    async def advance(self, now_s: int) -> GridStep:
        reply = await self._link.call(self.name, "advance", now_s=now_s)
        return GridStep(reply.body["next_due_s"], reply.blobs[0] if reply.blobs else None)


class RemoteFleet:
    """One process of meters; keeps count of what they have sent. `stations`: its serials and its collectors."""

    def __init__(self, link: LabLink, name: str, stations: Sequence[str]) -> None:
        self._link = link
        self.name = name
        self.stations = frozenset(stations)
        self.sent = 0
        self.connected = 0

    async def advance(self, now_s: int, frame: bytes | None) -> None:
        await self._link.call(self.name, "advance", *(() if frame is None else (frame,)), now_s=now_s)

    async def settle(self) -> FleetRound:
        body = (await self._link.call(self.name, "settle")).body
        self.sent += body["sent"]
        self.connected = body["connected"]
        return FleetRound(body["sent"], body["fresh"], body["next_due_s"], body["connected"])

    async def await_fence(self, token: str, stations: Sequence[str]) -> None:
        own = [station for station in stations if station in self.stations]
        if own:
            await self._link.call(self.name, "await_fence", token=token, stations=own)

    async def disturb(self, action: str, stations: Sequence[str]) -> None:
        own = [station for station in stations if station in self.stations]
        if own:
            await self._link.call(self.name, "disturb", action=action, stations=own)

    async def wait_disconnected(self) -> None:
        await self._link.call(self.name, "wait_disconnected")


class RemoteHead:
    def __init__(self, link: LabLink, name: str) -> None:
        self._link = link
        self.name = name

    async def begin(self, now_s: int) -> None:
        await self._link.call(self.name, "begin", now_s=now_s)

    async def advance(self) -> None:
        await self._link.call(self.name, "advance")

    async def settle(self) -> HeadRound:
        body = (await self._link.call(self.name, "settle")).body
        return HeadRound(body["connected"], body["commanded"], body["next_due_s"])

    async def fence_devices(self, token: str, stations: Sequence[str]) -> bool:
        await self._link.call(self.name, "fence_devices", token=token, stations=list(stations))
        return True
