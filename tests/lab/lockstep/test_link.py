"""The link over a real socket: answers, faults, and parts that die."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from lab.errors import UserError
from lab.lockstep.link import Body, LabLink, PartGone, serve_part
from lab.lockstep.link_frames import MOST_BYTES

RUN = "run"


@pytest.fixture(params=["ipc", "tcp"])
async def link(request: pytest.FixtureRequest, tmp_path: Path, unused_tcp_port: int) -> AsyncIterator[LabLink]:
    address = f"ipc://{tmp_path}/link" if request.param == "ipc" else f"tcp://127.0.0.1:{unused_tcp_port}"
    link = LabLink(address, run=RUN)
    yield link
    await link.close()


async def echo(body: Body, blobs: Sequence[bytes]) -> tuple[Body, Sequence[bytes]]:
    return body, blobs


async def faulty(_body: Body, _blobs: Sequence[bytes]) -> tuple[Body, Sequence[bytes]]:
    raise UserError(["the disk is full", "and the cat is out"], "Feed it.")


async def never(_body: Body, _blobs: Sequence[bytes]) -> tuple[Body, Sequence[bytes]]:
    await asyncio.Event().wait()
    raise AssertionError


async def enormous(_body: Body, _blobs: Sequence[bytes]) -> tuple[Body, Sequence[bytes]]:
    return {}, (bytes(MOST_BYTES + 1),)


async def test_a_call_brings_back_the_body_and_the_blobs(link: LabLink) -> None:
    part = asyncio.create_task(serve_part("p", link.address, {"echo": echo}, run=RUN, key=link.new_part("p")))
    await link.wait_for("p")
    reply = await link.call("p", "echo", b"\x00\xff", b"", number=3, text="ü")
    assert reply.body == {"number": 3, "text": "ü"}
    assert list(reply.blobs) == [b"\x00\xff", b""]
    await link.call("p", "stop")
    await part


async def test_faults_for_the_user_come_back_as_such_and_the_part_lives_on(link: LabLink) -> None:
    handlers = {"faulty": faulty, "echo": echo, "enormous": enormous}
    part = asyncio.create_task(serve_part("p", link.address, handlers, run=RUN, key=link.new_part("p")))
    await link.wait_for("p")
    with pytest.raises(UserError) as refused:
        await link.call("p", "faulty")
    assert refused.value.faults == ("the disk is full", "and the cat is out")
    assert refused.value.hint == "Feed it."
    with pytest.raises(UserError, match="more than the lab link carries"):
        await link.call("p", "enormous")
    assert (await link.call("p", "echo", a=1)).body == {"a": 1}
    await link.call("p", "stop")
    await part


async def test_calls_to_a_part_that_is_dropped_fail_until_it_is_back(link: LabLink) -> None:
    key = link.new_part("p")
    with pytest.raises(PartGone):
        await link.call("p", "echo")
    part = asyncio.create_task(serve_part("p", link.address, {"never": never}, run=RUN, key=key))
    await link.wait_for("p")
    call = asyncio.create_task(link.call("p", "never"))
    await asyncio.sleep(0)
    part.cancel()
    link.drop("p")
    with pytest.raises(PartGone):
        await call
    with pytest.raises(PartGone):
        await link.call("p", "never")
    successor = asyncio.create_task(serve_part("p", link.address, {"echo": echo}, run=RUN, key=key))
    await link.wait_for("p")
    assert (await link.call("p", "echo")).body == {}
    assert link.life("p") == 2
    await link.call("p", "stop")
    await successor


async def test_who_is_waited_for_is_known_until_it_is_there_and_again_when_it_is_gone(link: LabLink) -> None:
    key = link.new_part("p")
    waiting = asyncio.create_task(link.wait_for("p"))
    given_up = asyncio.create_task(link.wait_for("q"))
    before_s = time.monotonic()
    await asyncio.sleep(0)
    assert set(link.awaited) == {"p", "q"}
    assert before_s <= link.awaited["p"] <= time.monotonic()
    given_up.cancel()
    await asyncio.wait([given_up])
    assert set(link.awaited) == {"p"}
    part = asyncio.create_task(serve_part("p", link.address, {"echo": echo}, run=RUN, key=key))
    await waiting
    assert link.awaited == {}
    assert link.present == ["p"]
    await link.call("p", "stop")
    await part
    link.drop("p")
    waiting = asyncio.create_task(link.wait_for("p"))
    await asyncio.sleep(0)
    assert set(link.awaited) == {"p"}
    assert link.present == []
    waiting.cancel()


async def test_who_gives_up_leaves_those_who_still_wait(link: LabLink) -> None:
    first, second = (asyncio.create_task(link.wait_for("p")) for _ in range(2))
    await asyncio.sleep(0)
    since_s = link.awaited["p"]
    first.cancel()
    await asyncio.wait([first])
    assert link.awaited == {"p": since_s}
    second.cancel()
    await asyncio.wait([second])
    assert link.awaited == {}


async def test_who_waits_for_a_part_that_is_dropped_once_more_gets_its_successor(link: LabLink) -> None:
    """Who kills it drops it, and so does whoever finds its container gone a little later."""
    key = link.new_part("p")
    link.drop("p")
    waiting = asyncio.create_task(link.wait_for("p"))
    await asyncio.sleep(0)
    link.drop("p", life=link.life("p"))
    part = asyncio.create_task(serve_part("p", link.address, {"echo": echo}, run=RUN, key=key))
    await asyncio.wait_for(waiting, 60)
    assert link.awaited == {}
    await link.call("p", "stop")
    await part


async def test_a_successor_takes_over_from_who_has_not_been_dropped(link: LabLink) -> None:
    key = link.new_part("p")
    first = asyncio.create_task(serve_part("p", link.address, {"never": never}, run=RUN, key=key))
    await link.wait_for("p")
    call = asyncio.create_task(link.call("p", "never"))
    second = asyncio.create_task(serve_part("p", link.address, {"echo": echo}, run=RUN, key=key))
    with pytest.raises(PartGone):
        await call
    assert link.life("p") == 2
    assert (await link.call("p", "echo", a=1)).body == {"a": 1}
    await link.call("p", "stop")
    await second
    first.cancel()


async def test_who_has_taken_a_dead_parts_place_already_is_not_forgotten_with_it(link: LabLink) -> None:
    key = link.new_part("p")
    first = asyncio.create_task(serve_part("p", link.address, {"never": never}, run=RUN, key=key))
    await link.wait_for("p")
    life = link.life("p")
    call = asyncio.create_task(link.call("p", "never"))
    second = asyncio.create_task(serve_part("p", link.address, {"echo": echo}, run=RUN, key=key))
    with pytest.raises(PartGone):
        await call
    first.cancel()
    link.drop("p", life=life)
    assert (await link.call("p", "echo", a=1)).body == {"a": 1}
    await link.call("p", "stop")
    await second


async def test_a_programming_error_ends_the_part(link: LabLink) -> None:
    async def broken(_body: Body, _blobs: Sequence[bytes]) -> tuple[Body, Sequence[bytes]]:
        raise ZeroDivisionError

    part = asyncio.create_task(serve_part("p", link.address, {"broken": broken}, run=RUN, key=link.new_part("p")))
    await link.wait_for("p")
    call = asyncio.create_task(link.call("p", "broken"))
    with pytest.raises(ZeroDivisionError):
        await part
    link.drop("p")
    with pytest.raises(PartGone):
        await call


async def test_a_directory_may_have_a_longer_name_than_a_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    link = LabLink(f"ipc://{deep}/link", run=RUN)
    assert (deep / "link").is_socket()
    part = asyncio.create_task(serve_part("p", link.address, {"echo": echo}, run=RUN, key=link.new_part("p")))
    await link.wait_for("p")
    assert (await link.call("p", "echo", a=1)).body == {"a": 1}
    await link.call("p", "stop")
    await part
    await link.close()


async def test_an_address_that_is_taken_is_told(unused_tcp_port: int) -> None:
    address = f"tcp://127.0.0.1:{unused_tcp_port}"
    link = LabLink(address, run=RUN)
    with pytest.raises(UserError, match=f"cannot listen on 127.0.0.1:{unused_tcp_port}"):
        LabLink(address, run=RUN)
    await link.close()
