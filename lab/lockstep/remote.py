"""The barrier's members, reached over the link.

A fleet or a head-end may leave and come back as another process: because the scenario kills it, or because a container
died and a spare one took its place. Whoever comes back is begun again, a fleet from its durable memory, and told what
it missed. Until then it is *absent* if the scenario wants it so (time goes on without it), else waited for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, TypeVar

from lab.errors import PartFailed
from lab.lockstep.answers import (
    Commanded,
    FleetBegun,
    FleetSettled,
    FleetSwitched,
    GridAdvanced,
    HeadSettled,
    HeadStats,
    checked,
)
from lab.lockstep.barrier import NOTHING_SWITCHED, FleetRound, GridStep, HeadRound, Switched
from lab.lockstep.link import Body, LabLink, PartGone, Reply

T = TypeVar("T")


class RemoteGrid:
    """The grid keeps the truth in its memory: without it there is no run."""

    def __init__(self, link: LabLink, name: str) -> None:
        self._link = link
        self.name = name

    async def advance(self, now_s: int, switched: Switched = NOTHING_SWITCHED) -> GridStep:
        reply = await self._link.call(self.name, "advance", now_s=now_s, switched=list(switched.items()))
        return GridStep(checked(reply, GridAdvanced)["next_due_s"], reply.blobs[0] if reply.blobs else None)


class _Member:
    """A part that is begun by `init` and may be replaced. `returned`: called after each `init` but the first."""

    def __init__(self, link: LabLink, name: str) -> None:
        self._link = link
        self.name = name
        self.absent = False
        """Killed by the scenario: until it is brought back, nothing is asked of it."""
        self._life: int | None = None
        self._now_s = 0

    async def call(self, op: str, *blobs: bytes, **body: Any) -> Reply:
        """Ask, and ask again whoever takes its place if it goes. Raises PartGone only while it is absent."""
        while True:
            try:
                if self._link.life(self.name) != self._life:
                    await self.join()
                return await self._link.call(self.name, op, *blobs, **body)
            except PartGone:
                if self.absent:
                    raise
                # Until somebody is there: he may be long in coming.
                await self._link.wait_for(self.name)

    async def join(self) -> None:
        """Wait for the process, and begin it. Raises UserError as its `init` does."""
        while True:
            await self._link.wait_for(self.name)
            life = self._link.life(self.name)
            try:
                await self._init(again=self._life is not None)
            except PartGone:
                if self.absent:
                    raise
                continue
            self._life = life
            return

    async def join_at(self, now_s: int) -> None:
        """`join` at this simulated instant."""
        self._now_s = now_s
        await self.join()

    @property
    def life(self) -> tuple[str, int | None]:
        """Which of the processes of this name was begun last."""
        return self.name, self._life

    async def unless_absent(self, work: Callable[[], Awaitable[T]], otherwise: T) -> T:
        """`work`, if it is there to do it until the end."""
        if self.absent:
            return otherwise
        try:
            return await work()
        except PartGone:
            return otherwise

    async def _init(self, *, again: bool) -> None:
        raise NotImplementedError


class RemoteFleet(_Member):
    """One process of meters; keeps count of what they have sent. `stations`: its serials and its collectors.

    What is done to its stations while nobody is there is done when somebody is: a technician's hand is not undone.
    """

    def __init__(self, link: LabLink, name: str, init: Body, *, relay_rows: Collection[int] = ()) -> None:
        """:param init: what the process is begun with; it goes on from the memory that this names, if there is one.
        :param relay_rows: rows of the usage points whose relays it may move.
        """
        super().__init__(link, name)
        self._body = init
        self._relay_rows = frozenset(relay_rows)
        self._owed: list[tuple[str, list[str]]] = []  # what was done while nobody was there
        self._frames: list[tuple[int, bytes]] = []  # since the last that it surely had, that one included
        self.stations: frozenset[str] = frozenset()
        self.sent = 0
        self.connected = 0

    async def advance(self, now_s: int, frame: bytes | None) -> None:
        if frame is not None:
            self._frames.append((now_s, frame))
        if self.absent:
            return

        async def told() -> None:
            await self.call("advance", *(() if frame is None else (frame,)), now_s=now_s)
            del self._frames[:-1]
            while self._owed:
                action, stations = self._owed[0]
                await self.call("disturb", action=action, stations=stations)
                del self._owed[0]

        await self.unless_absent(told, None)

    async def flow(self, *, from_s: float, wall_s: float, speed: float, until_s: float) -> None:
        told = {"from_s": from_s, "wall_s": wall_s, "speed": speed, "until_s": until_s}
        await self.unless_absent(lambda: self.call("flow", **told), None)

    async def settle(self) -> FleetRound:
        async def settled() -> FleetRound:
            body = checked(await self.call("settle"), FleetSettled)
            self.sent += body["sent"]
            self.connected = body["connected"]
            switched = self._switched(body, "settle")
            return FleetRound(body["sent"], body["fresh"], body["next_due_s"], body["connected"], switched)

        return await self.unless_absent(settled, FleetRound(0, (), None, 0))

    async def switched(self) -> Switched:
        """Relays that have moved since they were last told of, here or in a `FleetRound`; it waits for nothing."""

        async def asked() -> Switched:
            return self._switched(checked(await self.call("switched"), FleetSwitched), "switched")

        return await self.unless_absent(asked, NOTHING_SWITCHED)

    async def await_fence(self, token: str, stations: Sequence[str]) -> None:
        life = self._life
        own = [station for station in stations if station in self.stations]
        if not own or self.absent:
            return
        try:
            # The fence went to the process that was there; whoever follows it connects anew, and gets another.
            if self._link.life(self.name) == life:
                await self._link.call(self.name, "await_fence", token=token, stations=own)
        except PartGone:
            return

    async def disturb(self, action: str, stations: Sequence[str]) -> None:
        own = [station for station in stations if station in self.stations]
        if not own:
            return

        async def done() -> bool:
            await self.call("disturb", action=action, stations=own)
            return True

        if not await self.unless_absent(done, False):
            self._owed.append((action, own))

    async def disturb_network(self, fault: Body) -> None:
        """Tell of a fault of the modelled network, or of its end; whoever takes its place later is begun with it."""
        known = self._body["network"]["faults"]
        known[:] = [each for each in known if not self._is_past(each) and _lasting(each) != _lasting(fault)] + [fault]
        await self.unless_absent(lambda: self.call("disturb", action="disturb_network", stations=[], fault=fault), None)

    async def wait_disconnected(self) -> None:
        await self.unless_absent(lambda: self.call("wait_disconnected"), None)

    async def finish(self, directory: str, deliveries: str | None = None) -> None:
        """Let it write its journal to `directory`, and what became of frames to `deliveries`, as it sees them."""
        await self.call("finish", directory=directory, **({} if deliveries is None else {"deliveries": deliveries}))

    def _is_past(self, fault: Body) -> bool:
        """Whether it was over before whatever whoever takes its place would be told."""
        until_s = fault.get("until_s")
        return until_s is not None and bool(self._frames) and until_s < self._frames[0][0]

    def _switched(self, body: Body, op: str) -> Switched:
        """As the meters say, whose relays they are. Raises PartFailed for those of others, or where there is none."""
        switched: dict[int, bool] = dict(body["switched"])
        if not switched.keys() <= self._relay_rows:
            row = min(switched.keys() - self._relay_rows)
            what = f"answered {op} with the relay of the usage point in row {row}, which is none of its meters'"
            raise PartFailed(self.name, None, what=what)
        return switched

    async def _init(self, *, again: bool) -> None:
        reply = await self._link.call(self.name, "init", **self._body)
        self.stations = frozenset(checked(reply, FleetBegun)["stations"])
        if again:
            for now_s, frame in self._frames:
                await self._link.call(self.name, "replay", frame, now_s=now_s)


def _lasting(fault: Body) -> Body:
    """By which a fault of the network is known, whatever its end."""
    return {name: value for name, value in fault.items() if name != "until_s"}


class RemoteHead(_Member):
    """One process of the head-end."""

    def __init__(self, link: LabLink, name: str, init: Body) -> None:
        """:param init: what the process is begun with, apart from the present instant."""
        super().__init__(link, name)
        self._body = init

    async def begin(self, now_s: int) -> None:
        self._now_s = now_s
        await self.unless_absent(lambda: self.call("begin", now_s=now_s), None)

    async def advance(self) -> None:
        await self.unless_absent(lambda: self.call("advance"), None)

    async def settle(self) -> HeadRound:
        async def settled() -> HeadRound:
            body = checked(await self.call("settle"), HeadSettled)
            return HeadRound(body["connected"], body["commanded"], body["next_due_s"])

        return await self.unless_absent(settled, HeadRound(True, (), None))

    async def fence_devices(self, token: str, stations: Sequence[str]) -> bool:
        async def fenced() -> bool:
            await self.call("fence_devices", token=token, stations=list(stations))
            return True

        return await self.unless_absent(fenced, False)

    async def renew(self) -> None:
        """Let it connect to the broker anew: its certificate has changed."""
        await self.unless_absent(lambda: self.call("renew"), None)

    async def hold(self) -> None:
        """Let it take in nothing more of what the broker sends."""
        await self.unless_absent(lambda: self.call("hold"), None)

    async def drop(self) -> None:
        """Let it lose the connections that it holds."""
        await self.unless_absent(lambda: self.call("drop"), None)

    async def command(self, now_s: int, **wanted: Any) -> list[tuple[str, str, str, str | None]] | None:
        """Have it make commands for those devices that it reaches: id, serial, state, reason. None if it is absent.

        :raises UserError: they cannot be made.
        """

        async def made() -> list[tuple[str, str, str, str | None]] | None:
            body = checked(await self.call("command", now_s=now_s, **wanted), Commanded)
            return [tuple(each) for each in body["made"]]

        return await self.unless_absent(made, None)

    async def stats(self) -> Body | None:
        """What it says of its life so far; None if it is absent."""

        async def read() -> Body | None:
            found: Body = checked(await self.call("stats"), HeadStats)["stats"]
            return found

        return await self.unless_absent(read, None)

    async def _init(self, *, again: bool) -> None:
        settings = self._body["settings"]
        if again:
            settings = {**settings, "broker_may_be_away": True}
        await self._link.call(self.name, "init", **{**self._body, "settings": settings}, now_s=self._now_s)
