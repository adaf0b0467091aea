"""What others can do to the lab link: nothing without a key, and with one nothing to anybody else."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import zmq
import zmq.asyncio
from hypothesis import given
from hypothesis import strategies as st
from zmq.utils.monitor import recv_monitor_message

from lab.errors import PartFailed
from lab.lockstep.link import Body, LabLink, serve_part
from lab.lockstep.link_frames import (
    HELLO,
    MOST_BYTES,
    Answer,
    BadFrame,
    Hello,
    answer_frames,
    hello_frames,
    read_message,
)
from lab.lockstep.link_keys import KeyPair, PartKey
from lab.lockstep.remote import RemoteFleet, RemoteGrid, RemoteHead
from lab.processes.reaper import Reaper
from lab.processes.supervisor import Supervisor
from lab.run.local_stage import LocalStage
from lab.run.surroundings import Externals
from lab.services.host import make_private_directory
from tests import left_out

RUN = "run"
PATIENCE_S = 30
SETTLED = {"sent": 0, "fresh": [], "connected": 0, "next_due_s": None}
REFUSED = (
    zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_DISCONNECTED
)


class Lab:
    """A link on loopback, with one part `good` that echoes."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.link = LabLink(f"tcp://127.0.0.1:{port}", run=RUN)
        key = self.link.new_part("good")
        self._serving = asyncio.create_task(
            serve_part("good", self.link.address, {"echo": echo, "init": echo}, run=RUN, key=key)
        )

    async def serves(self, number: int = 1) -> None:
        async with asyncio.timeout(PATIENCE_S):
            assert (await self.link.call("good", "echo", number=number)).body == {"number": number}

    async def close(self) -> None:
        await self.serves()
        assert self.link.life("good") == 1, "nobody has taken its place"
        await self.link.call("good", "stop")
        await self._serving
        await self.link.close()


@pytest.fixture
async def lab(unused_tcp_port: int) -> AsyncIterator[Lab]:
    made = Lab(unused_tcp_port)
    await made.link.wait_for("good")
    yield made
    await made.close()


async def echo(body: Body, blobs: Sequence[bytes]) -> tuple[Body, Sequence[bytes]]:
    return body, blobs


@contextmanager
def peer(
    lab: Lab, key: PartKey | None, identity: bytes | None = None
) -> Iterator[tuple[zmq.asyncio.Socket, zmq.asyncio.Socket]]:
    """A socket that may send whatever it likes, and one that tells what becomes of its connection."""
    made: zmq.asyncio.Socket = zmq.asyncio.Context.instance().socket(zmq.DEALER)
    made.setsockopt(zmq.LINGER, 0)
    if identity is not None:
        made.setsockopt(zmq.IDENTITY, identity)
    if key is not None:
        made.setsockopt(zmq.CURVE_SERVERKEY, key.lab.encode())
        made.setsockopt(zmq.CURVE_PUBLICKEY, key.own.public.encode())
        made.setsockopt(zmq.CURVE_SECRETKEY, key.own.secret.encode())
    fate = made.get_monitor_socket(REFUSED)
    made.connect(lab.link.address)
    try:
        yield made, fate
    finally:
        made.disable_monitor()
        made.close()


def strangers(lab: Lab) -> dict[str, PartKey | None]:
    lab_key = lab.link.part_key(KeyPair.new())
    return {
        "without a key": None,
        "with a key of its own": lab_key,
        "for another lab": PartKey(KeyPair.new(), KeyPair.new().public),
    }


@pytest.mark.parametrize("who", ["without a key", "with a key of its own", "for another lab"])
async def test_a_stranger_takes_no_name_and_reads_nothing(lab: Lab, who: str) -> None:
    with peer(lab, strangers(lab)[who], identity=b"good") as (stranger, fate):
        await stranger.send_multipart(hello_frames(Hello("good", RUN, "host")))
        async with asyncio.timeout(PATIENCE_S):
            told = await recv_monitor_message(fate)
        assert told["event"] & REFUSED
        await lab.link.call("good", "init", database_url="secret")
        await lab.serves()
        assert not await stranger.poll(200)


async def test_a_stranger_cannot_claim_memory(lab: Lab) -> None:
    """A frame that says it has an exabyte, before anybody knows who sends it."""
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"CURVE".ljust(20, b"\0") + bytes(32)
    with socket.create_connection(("127.0.0.1", lab.port), timeout=PATIENCE_S) as stranger:
        stranger.sendall(greeting + b"\x06" + struct.pack(">Q", 1 << 60))
        await lab.serves()
        loop = asyncio.get_running_loop()

        def until_closed() -> None:
            while stranger.recv(4096):
                pass

        await loop.run_in_executor(None, until_closed)
    await lab.serves()


async def test_strangers_who_say_nothing_are_no_hindrance(lab: Lab) -> None:
    silent = [socket.create_connection(("127.0.0.1", lab.port)) for _ in range(200)]
    await lab.serves()
    garbage = [socket.create_connection(("127.0.0.1", lab.port)) for _ in range(50)]
    for number, each in enumerate(garbage):
        each.sendall(bytes([number]) * 1000)
    await lab.serves()
    for each in [*silent, *garbage]:
        each.close()


async def test_a_part_cannot_take_another_name_than_its_own(lab: Lab) -> None:
    lab.link.new_part("other")
    with peer(lab, lab.link.new_part("bad")) as (bad, _):
        for name in ("good", "other", "unknown", "bad"):
            await bad.send_multipart(hello_frames(Hello(name, RUN, "host")))
        async with asyncio.timeout(PATIENCE_S):
            await lab.link.wait_for("bad")
        assert [lab.link.life(name) for name in ("good", "other", "unknown", "bad")] == [1, 0, 0, 1]
        await lab.serves()


async def test_a_part_of_another_run_is_not_let_in(lab: Lab) -> None:
    with peer(lab, lab.link.new_part("bad")) as (bad, _):
        await bad.send_multipart(hello_frames(Hello("bad", "yesterday", "host")))
        await bad.send_multipart(hello_frames(Hello("bad", RUN, "host")))
        async with asyncio.timeout(PATIENCE_S):
            await lab.link.wait_for("bad")
        assert lab.link.life("bad") == 1


async def test_nobody_takes_over_a_connection_by_its_name(lab: Lab) -> None:
    key = lab.link.new_part("first")
    with (
        peer(lab, key, identity=b"mine") as (first, _),
        peer(lab, lab.link.new_part("bad"), identity=b"mine") as (bad, _),
    ):
        await first.send_multipart(hello_frames(Hello("first", RUN, "host")))
        async with asyncio.timeout(PATIENCE_S):
            await lab.link.wait_for("first")
        await bad.send_multipart(hello_frames(Hello("bad", RUN, "host")))
        call = asyncio.create_task(lab.link.call("first", "init", secret=1))
        async with asyncio.timeout(PATIENCE_S):
            head = orjson.loads((await first.recv_multipart())[0])
        await first.send_multipart(answer_frames(Answer(head["id"], {"done": True})))
        assert (await call).body == {"done": True}
        assert not await bad.poll(200)


BAD = {
    "empty": [b""],
    "no JSON": [b"\xff\x00{"],
    "no object": [b"[1]"],
    "no id": [b"{}"],
    "an id that is a text": [b'{"id":"1","body":{}}'],
    "an id that is true": [b'{"id":true,"body":{}}'],
    "an id that is a list": [b'{"id":[],"body":{}}'],
    "an unknown id": [b'{"id":4711,"body":{}}'],
    "an id of many digits": [b'{"id":' + b"9" * 400 + b',"body":{}}'],
    "no body": [b'{"id":1}'],
    "a body that is a number": [b'{"id":1,"body":1}'],
    "no faults": [b'{"id":1,"faults":[]}'],
    "faults that are numbers": [b'{"id":1,"faults":[1]}'],
    "a hint that is a number": [b'{"id":1,"faults":["x"],"hint":1}'],
    "deep": [b"[" * 100_000],
    "a greeting without a name": [HELLO],
    "a greeting of three frames": [HELLO, b"{}", b"{}"],
    "a greeting that is no JSON": [HELLO, b"\xff"],
    "a greeting with wrong types": [HELLO, b'{"name":1,"run":[],"host":{}}'],
    "a name with a line break": [HELLO, b'{"name":"a\\nb","run":"run","host":"h"}'],
    "a long name": [HELLO, orjson.dumps({"name": "n" * 100_000, "run": RUN, "host": "h"})],
    "many frames": [b"{}"] * 1000,
    "the token of older releases": [HELLO, b"token", b"host"],
}


@pytest.mark.parametrize("frames", BAD.values(), ids=BAD.keys())
async def test_a_bad_frame_costs_its_sender_alone(lab: Lab, frames: list[bytes]) -> None:
    with peer(lab, lab.link.new_part("bad")) as (bad, _):
        await bad.send_multipart(hello_frames(Hello("bad", RUN, "host")))
        async with asyncio.timeout(PATIENCE_S):
            await lab.link.wait_for("bad")
        await bad.send_multipart(frames)
        await bad.send_multipart(hello_frames(Hello("bad", RUN, "host")))
        for number in range(3):
            await lab.serves(number)


async def test_a_frame_that_is_too_large_costs_its_sender_alone(lab: Lab) -> None:
    with peer(lab, lab.link.new_part("bad")) as (bad, fate):
        await bad.send_multipart(hello_frames(Hello("bad", RUN, "host")))
        async with asyncio.timeout(PATIENCE_S):
            await lab.link.wait_for("bad")
            await bad.send_multipart([bytes(MOST_BYTES + 1)])
            assert (await recv_monitor_message(fate))["event"] & REFUSED
        await lab.serves()


async def test_what_is_no_answer_fails_the_call_that_it_should_answer(lab: Lab) -> None:
    with peer(lab, lab.link.new_part("bad")) as (bad, _):
        await bad.send_multipart(hello_frames(Hello("bad", RUN, "host")))
        async with asyncio.timeout(PATIENCE_S):
            await lab.link.wait_for("bad")
            call = asyncio.create_task(lab.link.call("bad", "settle"))
            await bad.recv_multipart()
            await bad.send_multipart([b"\xff"])
            with pytest.raises(PartFailed, match="bad sent a message that is none: it is no JSON"):
                await call
        await lab.serves()


def of_a_grid(link: LabLink) -> Awaitable[object]:
    return RemoteGrid(link, "bad").advance(0)


def of_a_fleet(link: LabLink) -> Awaitable[object]:
    return RemoteFleet(link, "bad", {}).join()


def of_meters_with_relays_in_rows_2_and_5(link: LabLink) -> Awaitable[object]:
    return RemoteFleet(link, "bad", {"world_rows": [2, 3, 5]}, relay_rows=[2, 5]).settle()


def of_the_same_in_real_time(link: LabLink) -> Awaitable[object]:
    return RemoteFleet(link, "bad", {"world_rows": [2, 3, 5]}, relay_rows=[2, 5]).switched()


def of_a_head(link: LabLink) -> Awaitable[object]:
    return RemoteHead(link, "bad", {"settings": {}}).settle()


@pytest.mark.parametrize(
    ("ask", "body"),
    [
        (of_a_grid, {}),
        (of_a_grid, {"next_due_s": "soon"}),
        (of_a_grid, {"next_due_s": 1 << 60}),
        (of_a_fleet, {}),
        (of_a_fleet, {"stations": 1}),
        (of_a_fleet, {"stations": [["a"]]}),
        (of_meters_with_relays_in_rows_2_and_5, {**SETTLED, "switched": 1}),
        (of_meters_with_relays_in_rows_2_and_5, {**SETTLED, "switched": [[2, 0]]}),
        (of_meters_with_relays_in_rows_2_and_5, {**SETTLED, "switched": [["2", True]]}),
        (of_meters_with_relays_in_rows_2_and_5, {**SETTLED, "switched": [[-1, True]]}),
        (of_meters_with_relays_in_rows_2_and_5, {**SETTLED, "switched": [[2, True, 1]]}),
        (of_meters_with_relays_in_rows_2_and_5, SETTLED),
        (of_the_same_in_real_time, {"switched": {"2": True}}),
        (of_a_head, {"connected": 1, "commanded": [], "next_due_s": None}),
        (of_a_head, {"connected": True, "commanded": {}, "next_due_s": None}),
        (of_a_head, {"connected": True, "commanded": [], "next_due_s": "never"}),
    ],
)
async def test_an_answer_that_is_none_fails_its_part(
    lab: Lab, ask: Callable[[LabLink], Awaitable[object]], body: Body
) -> None:
    with peer(lab, lab.link.new_part("bad")) as (bad, _):
        await bad.send_multipart(hello_frames(Hello("bad", RUN, "host")))

        async with asyncio.timeout(PATIENCE_S):
            await lab.link.wait_for("bad")
            lying = asyncio.create_task(lie(bad, body, honest=() if ask is of_a_fleet else ("init",)))
            with pytest.raises(PartFailed, match=r"^bad answered \w+ with what is no such answer"):
                await ask(lab.link)
        lying.cancel()
        await asyncio.gather(lying, return_exceptions=True)
        await lab.serves()


@pytest.mark.parametrize("ask", [of_meters_with_relays_in_rows_2_and_5, of_the_same_in_real_time])
@pytest.mark.parametrize("claim", [[[2, False], [3, False]], [[1 << 40, True]]])
async def test_meters_that_switch_what_is_not_theirs_fail_their_part(
    lab: Lab, ask: Callable[[LabLink], Awaitable[object]], claim: list[list[object]]
) -> None:
    """Whoever has taken a fleet over could else disconnect everybody's customers in the truth."""
    with peer(lab, lab.link.new_part("bad")) as (bad, _):
        await bad.send_multipart(hello_frames(Hello("bad", RUN, "host")))
        async with asyncio.timeout(PATIENCE_S):
            await lab.link.wait_for("bad")
            lying = asyncio.create_task(lie(bad, {**SETTLED, "switched": claim}, honest=("init",)))
            words = rf"^bad answered \w+ with the relay of .* row {claim[-1][0]}, which is none of its meters'"
            with pytest.raises(PartFailed, match=words):
                await ask(lab.link)
        lying.cancel()
        await asyncio.gather(lying, return_exceptions=True)
        await lab.serves()


async def lie(bad: zmq.asyncio.Socket, body: Body, *, honest: Sequence[str]) -> None:
    """Answer calls with `body`; those that are `honest` as they should be, with as little as there can be."""
    while True:
        call = orjson.loads((await bad.recv_multipart())[0])
        told = {"stations": []} if call["op"] in honest else body
        await bad.send_multipart(answer_frames(Answer(call["id"], told)))


async def test_a_part_cannot_answer_for_another(lab: Lab) -> None:
    with (
        peer(lab, lab.link.new_part("bad")) as (bad, _),
        peer(lab, lab.link.new_part("victim")) as (victim, _),
    ):
        for each, name in ((bad, "bad"), (victim, "victim")):
            await each.send_multipart(hello_frames(Hello(name, RUN, "host")))
            async with asyncio.timeout(PATIENCE_S):
                await lab.link.wait_for(name)
        call = asyncio.create_task(lab.link.call("victim", "settle"))
        async with asyncio.timeout(PATIENCE_S):
            number = orjson.loads((await victim.recv_multipart())[0])["id"]
        for lie in (Answer(number, {"lie": 1}), Answer(number, faults=("lie",)), Answer(number, not_begun=True)):
            await bad.send_multipart(answer_frames(lie))
        await lab.serves()
        assert not call.done()
        await victim.send_multipart(answer_frames(Answer(number, {"true": 1})))
        assert (await call).body == {"true": 1}


async def test_one_that_talks_without_end_does_not_keep_the_lab_from_others(lab: Lab) -> None:
    with peer(lab, lab.link.new_part("bad")) as (bad, _):
        await bad.send_multipart(hello_frames(Hello("bad", RUN, "host")))

        async def talk() -> None:
            while True:
                await bad.send_multipart([b"{}"])

        talking = asyncio.create_task(talk())
        for number in range(50):
            await lab.serves(number)
        assert not talking.done()
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
HEADS = st.dictionaries(
    st.sampled_from(["id", "body", "faults", "hint", "not_begun", "name", "run", "host", "x"]), VALUES
).map(orjson.dumps)


@given(st.lists(st.binary(max_size=50) | st.just(HELLO) | HEADS, max_size=4))
def test_whatever_is_sent_is_a_message_or_is_refused(frames: list[bytes]) -> None:
    try:
        message = read_message(frames)
    except BadFrame:
        return
    if isinstance(message, Hello):
        assert all((message.name, message.run, message.host))
    else:
        assert isinstance(message.number, int)
        assert isinstance(message.body, dict)
        assert not any(letter == "\x1b" for fault in message.faults for letter in fault)


@given(
    st.integers(0, 2**53), st.dictionaries(st.text(), st.integers(0, 9)), st.lists(st.binary(max_size=9), max_size=3)
)
def test_what_a_part_says_is_read_as_it_was_said(number: int, body: Body, blobs: list[bytes]) -> None:
    assert read_message(answer_frames(Answer(number, body, tuple(blobs)))) == Answer(number, body, tuple(blobs))
    assert read_message(hello_frames(Hello("p", RUN, "h"))) == Hello("p", RUN, "h")


KNOCK = """
import os, socket, sys
os.chdir("/")
try:
    socket.socket(socket.AF_UNIX).connect(sys.argv[1])
except OSError as error:
    print(type(error).__name__)
else:
    print("let in")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason=left_out.reason(*left_out.TWO_USERS))
async def test_another_user_does_not_reach_the_socket_of_a_run(tmp_path: Path) -> None:
    with Reaper(str(tmp_path)) as reaper:
        work = make_private_directory(reaper)
        stage = LocalStage(Supervisor(tmp_path / "logs", reaper), {}, Externals(None, None), work, tmp_path)
        path = stage.link.address.removeprefix("ipc://")

        def knock(**user: Any) -> str:
            words = ["/usr/bin/python3" if user else sys.executable, "-c", KNOCK, path]
            done: subprocess.CompletedProcess[str] = subprocess.run(
                words, capture_output=True, text=True, check=True, **user
            )
            return done.stdout.strip()

        assert await asyncio.to_thread(knock) == "let in"
        nobody = {"user": "nobody", "group": "nogroup", "extra_groups": []}
        assert await asyncio.to_thread(lambda: knock(**nobody)) == "PermissionError"
        await stage.close()
