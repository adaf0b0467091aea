"""Members of the barrier that go and come back as another process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from lab.lockstep.link import Body, Handler, LabLink, serve_part
from lab.lockstep.link_keys import PartKey
from lab.lockstep.remote import RemoteFleet
from tests.headend.services import until

RUN, NAME = "run", "fleet-0"


@pytest.fixture
async def link(tmp_path: Path) -> AsyncIterator[LabLink]:
    made = LabLink(f"ipc://{tmp_path}/link", run=RUN)
    yield made
    await made.close()


class Process:
    """A process of meters that writes down what it is asked."""

    def __init__(self, link: LabLink, key: PartKey) -> None:
        self.log: list[tuple[object, ...]] = []
        self.switched: list[tuple[int, bool]] = []
        self.faults: list[Body] = []
        ops = ("init", "advance", "replay", "disturb", "settle", "switched")
        handlers: dict[str, Handler] = {op: self._handler(op) for op in ops}
        self.task = asyncio.create_task(serve_part(NAME, link.address, handlers, run=RUN, key=key))

    def _handler(self, op: str) -> Handler:
        async def answer(body: Body, blobs: Sequence[bytes]) -> tuple[Body, Sequence[bytes]]:
            asked = [body[name] for name in ("now_s", "action", "stations") if name in body]
            self.log.append((op, *asked, *map(bytes, blobs)))
            if op == "init":
                self.faults = body.get("network", {}).get("faults", [])
                return {"stations": ["A", "B"]}, ()
            told, self.switched = self.switched, []
            return {"sent": 0, "fresh": [], "connected": 2, "next_due_s": None, "switched": told}, ()

        return answer

    async def die(self, link: LabLink) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        link.drop(NAME)


async def test_what_is_done_while_nobody_is_there_is_done_once_when_somebody_is(link: LabLink) -> None:
    key = link.new_part(NAME)
    first = Process(link, key)
    fleet = RemoteFleet(link, NAME, {})
    await fleet.join()
    await fleet.advance(0, b"0")
    fleet.absent = True
    await first.die(link)
    await fleet.disturb("open_relay", ["A", "somebody else's"])
    await fleet.disturb("close_relay", ["somebody else's"])
    await fleet.advance(60, b"60")
    await fleet.disturb("close_relay", ["A"])
    assert (await fleet.settle()).switched == await fleet.switched() == {}
    second = Process(link, key)
    fleet.absent = False
    await fleet.join()
    await fleet.advance(120, None)
    await fleet.advance(180, None)
    assert second.log == [
        ("init",),
        ("replay", 0, b"0"),
        ("replay", 60, b"60"),
        ("advance", 120),
        ("disturb", "open_relay", ["A"]),
        ("disturb", "close_relay", ["A"]),
        ("advance", 180),
    ]
    await second.die(link)


async def test_who_dies_by_itself_is_waited_for_and_its_successor_is_begun(link: LabLink) -> None:
    key = link.new_part(NAME)
    first = Process(link, key)
    fleet = RemoteFleet(link, NAME, {})
    await fleet.join()
    await fleet.advance(0, b"0")
    await first.die(link)
    asked = asyncio.create_task(fleet.advance(60, b"60"))
    await until(lambda: set(link.awaited) == {NAME}, "its name among those that are waited for")
    second = Process(link, key)
    await asked
    assert second.log == [("init",), ("replay", 0, b"0"), ("replay", 60, b"60"), ("advance", 60, b"60")]
    await second.die(link)


async def test_what_meters_have_switched_is_told_by_whichever_call_comes_first(link: LabLink) -> None:
    process = Process(link, link.new_part(NAME))
    fleet = RemoteFleet(link, NAME, {}, relay_rows=[3, 4])
    await fleet.join()
    process.switched = [(3, False), (4, False)]
    assert (await fleet.settle()).switched == {3: False, 4: False}
    process.switched = [(4, True)]
    assert await fleet.switched() == {4: True}
    assert (await fleet.settle()).switched == {}
    await process.die(link)


async def test_whoever_comes_back_is_begun_with_the_faults_of_its_network(link: LabLink) -> None:
    key = link.new_part(NAME)
    first = Process(link, key)
    fleet = RemoteFleet(link, NAME, {"network": {"faults": []}})
    await fleet.join()
    await fleet.disturb_network({"fault": "jam", "until_s": 60})
    assert first.log[-1] == ("disturb", "disturb_network", [])
    fleet.absent = True
    await first.die(link)
    await fleet.disturb_network({"fault": "cell-down", "until_s": 90})
    second = Process(link, key)
    fleet.absent = False
    await fleet.join()
    assert second.faults == [{"fault": "jam", "until_s": 60}, {"fault": "cell-down", "until_s": 90}]
    await second.die(link)


async def test_faults_of_the_network_are_kept_as_they_were_told_last_and_not_for_ever(link: LabLink) -> None:
    """Whoever disturbs the network again and again does not make the beginning of a process ever longer."""
    key = link.new_part(NAME)
    first = Process(link, key)
    fleet = RemoteFleet(link, NAME, {"network": {"faults": []}})
    await fleet.join()
    for number in range(5):
        jam = {"fault": "jam", "name": f"injected {number}", "from_s": 100 * number}
        await fleet.disturb_network(jam)
        await fleet.advance(100 * number, b"frame")
        await fleet.disturb_network({**jam, "until_s": 100 * number + 50})
    await first.die(link)
    second = Process(link, key)
    await fleet.join()
    assert [(each["name"], each["until_s"]) for each in second.faults] == [("injected 4", 450)]
    await second.die(link)
