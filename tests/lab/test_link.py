"""The link over a real socket: answers, faults, parts that die, and strangers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
import zmq
import zmq.asyncio

from lab.errors import UserError
from lab.link import HELLO, TOKEN_VARIABLE, Body, LabLink, PartGone, serve_part


@pytest.fixture
async def link(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LabLink]:
    monkeypatch.setenv(TOKEN_VARIABLE, "secret")
    link = LabLink(token="secret")
    yield link
    await link.close()


async def echo(body: Body, blobs: Sequence[bytes]) -> tuple[Body, Sequence[bytes]]:
    return body, blobs


async def faulty(_body: Body, _blobs: Sequence[bytes]) -> tuple[Body, Sequence[bytes]]:
    raise UserError(["the disk is full", "and the cat is out"], "Feed it.")


async def never(_body: Body, _blobs: Sequence[bytes]) -> tuple[Body, Sequence[bytes]]:
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_call_brings_back_the_body_and_the_blobs(link: LabLink) -> None:
    part = asyncio.create_task(serve_part("p", link.address, {"echo": echo}))
    await link.wait_for("p")
    reply = await link.call("p", "echo", b"\x00\xff", b"", number=3, text="ü")
    assert reply.body == {"number": 3, "text": "ü"}
    assert list(reply.blobs) == [b"\x00\xff", b""]
    await link.call("p", "stop")
    await part


async def test_faults_for_the_user_come_back_as_such_and_the_part_lives_on(link: LabLink) -> None:
    part = asyncio.create_task(serve_part("p", link.address, {"faulty": faulty, "echo": echo}))
    await link.wait_for("p")
    with pytest.raises(UserError) as refused:
        await link.call("p", "faulty")
    assert refused.value.faults == ("the disk is full", "and the cat is out")
    assert refused.value.hint == "Feed it."
    assert (await link.call("p", "echo", a=1)).body == {"a": 1}
    await link.call("p", "stop")
    await part


async def test_calls_to_a_part_that_is_dropped_fail_until_it_is_back(link: LabLink) -> None:
    part = asyncio.create_task(serve_part("p", link.address, {"never": never}))
    await link.wait_for("p")
    call = asyncio.create_task(link.call("p", "never"))
    await asyncio.sleep(0)
    part.cancel()
    link.drop("p")
    with pytest.raises(PartGone):
        await call
    with pytest.raises(PartGone):
        await link.call("p", "never")
    successor = asyncio.create_task(serve_part("p", link.address, {"echo": echo}))
    await link.wait_for("p")
    assert (await link.call("p", "echo")).body == {}
    await link.call("p", "stop")
    await successor


async def test_a_stranger_without_the_token_is_nobody(link: LabLink) -> None:
    stranger: zmq.asyncio.Socket = zmq.asyncio.Context.instance().socket(zmq.DEALER)
    stranger.setsockopt(zmq.LINGER, 0)
    stranger.setsockopt(zmq.IDENTITY, b"p")
    stranger.connect(link.address)
    await stranger.send_multipart([HELLO, b"guess"])
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(link.wait_for("p"), 0.3)
    stranger.close()


async def test_a_programming_error_ends_the_part(link: LabLink) -> None:
    async def broken(_body: Body, _blobs: Sequence[bytes]) -> tuple[Body, Sequence[bytes]]:
        raise ZeroDivisionError

    part = asyncio.create_task(serve_part("p", link.address, {"broken": broken}))
    await link.wait_for("p")
    call = asyncio.create_task(link.call("p", "broken"))
    with pytest.raises(ZeroDivisionError):
        await part
    link.drop("p")
    with pytest.raises(PartGone):
        await call
