"""The link between the lab and its parts: request and reply over ZeroMQ, outside the metering network.

The lab binds one ROUTER socket on loopback; each part connects a DEALER socket under its own name and proves with the
run's token that it belongs to it. A request is ``[JSON header, blob, …]``, the reply has the same form. The same link
serves a part in this process, in another one, or in another container.
"""

from __future__ import annotations

import asyncio
import hmac
import itertools
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from socket import gethostname
from typing import Any

import orjson
import zmq
import zmq.asyncio

from lab.errors import UserError, full_disk_as_user_error

TOKEN_VARIABLE = "AMILAB_LINK_TOKEN"  # noqa: S105 - the variable's name, not a secret
HELLO = b"hello"

Body = dict[str, Any]
Handler = Callable[[Body, Sequence[bytes]], Awaitable[tuple[Body, Sequence[bytes]]]]


class PartGone(Exception):  # noqa: N818 - names the state
    """The part was killed, died, or was replaced by another process of its name, before it answered."""


class NotBegun(Exception):  # noqa: N818 - names the state
    """A part is asked for something before its `init`: whoever asks still knows the process that was here before."""


@dataclass(frozen=True, slots=True)
class Reply:
    body: Body
    blobs: Sequence[bytes]


class LabLink:
    """The lab's end: calls parts by name.

    :raises PartGone: from a call whose part is dropped before it answers.
    :raises UserError: from a call that the part answered with faults for the user.
    """

    def __init__(self, *, token: str, host: str = "127.0.0.1", port: int | None = None) -> None:
        """:param port: any that is free if not given.

        :raises UserError: it cannot listen there.
        """
        self._token = token.encode()
        self._socket: zmq.asyncio.Socket = zmq.asyncio.Context.instance().socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        if port is None:
            port = self._socket.bind_to_random_port(f"tcp://{host}")
        else:
            _bind(self._socket, host, port)
        self.address = f"tcp://{host}:{port}"
        self._ids = itertools.count(1)
        self._waiting: dict[int, tuple[str, asyncio.Future[Reply]]] = {}
        self._present: dict[str, asyncio.Event] = {}
        self._gone: set[str] = set()
        self._lives: dict[str, int] = {}
        self._hosts: dict[str, str] = {}
        self._reader = asyncio.create_task(self._read(), name="link")

    async def wait_for(self, name: str) -> None:
        """Return once the part `name` has connected."""
        await self._present.setdefault(name, asyncio.Event()).wait()

    def life(self, name: str) -> int:
        """How often a process has connected under this name. Another one after each hand-over."""
        return self._lives.get(name, 0)

    def host(self, name: str) -> str:
        """The host name of the process that connected last under this name: in a container, its id. Raises KeyError."""
        return self._hosts[name]

    async def call(self, name: str, op: str, /, *blobs: bytes, **body: Any) -> Reply:
        """Ask part `name` to do `op` and wait for its answer."""
        if name in self._gone:
            raise PartGone(name)
        number = next(self._ids)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[number] = (name, future)
        try:
            await self._socket.send_multipart(
                [name.encode(), orjson.dumps({"id": number, "op": op, "body": body}), *blobs]
            )
            return await future
        finally:
            self._waiting.pop(number, None)

    def drop(self, name: str) -> None:
        """Forget a part that is gone: every call to it fails with `PartGone` until it connects again."""
        self._present.pop(name, None)
        self._gone.add(name)
        self._fail_calls(name)

    async def close(self) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        self._socket.close()

    def _fail_calls(self, name: str) -> None:
        for part, future in list(self._waiting.values()):
            if part == name and not future.done():
                future.set_exception(PartGone(name))

    def _greeted(self, name: str, host: str) -> None:
        # What the process before was asked, this one will not answer.
        self._fail_calls(name)
        self._lives[name] = self.life(name) + 1
        self._hosts[name] = host
        self._gone.discard(name)
        self._present.setdefault(name, asyncio.Event()).set()

    async def _read(self) -> None:
        while True:
            name_bytes, head, *blobs = await self._socket.recv_multipart()
            if head == HELLO:
                if len(blobs) == 2 and hmac.compare_digest(blobs[0], self._token):
                    self._greeted(name_bytes.decode(), blobs[1].decode())
                continue
            message = orjson.loads(head)
            name, future = self._waiting.get(message["id"], ("", None))
            if future is None or future.done() or name != name_bytes.decode():
                continue
            if "not_begun" in message:
                future.set_exception(PartGone(name))
            elif "faults" in message:
                future.set_exception(UserError(message["faults"], message.get("hint")))
            else:
                future.set_result(Reply(message["body"], blobs))


def _bind(socket: zmq.asyncio.Socket, host: str, port: int) -> None:
    try:
        socket.bind(f"tcp://{host}:{port}")
    except zmq.ZMQError as error:
        raise UserError(
            f"the lab link cannot listen on {host}:{port}: {error.strerror}", "Is another run under way there?"
        ) from error


async def serve_part(name: str, address: str, handlers: dict[str, Handler], *, token: str | None = None) -> None:
    """A part's end: answer the lab's calls one after another until it says ``stop``.

    :param token: the run's; from the environment if not given.

    A `UserError` of a handler goes back as the answer; any other exception is a programming error and ends the part.
    """
    socket: zmq.asyncio.Socket = zmq.asyncio.Context.instance().socket(zmq.DEALER)
    socket.setsockopt(zmq.IDENTITY, name.encode())
    socket.setsockopt(zmq.LINGER, 1000)
    socket.connect(address)
    try:
        await socket.send_multipart([HELLO, (token or os.environ[TOKEN_VARIABLE]).encode(), gethostname().encode()])
        while True:
            head, *blobs = await socket.recv_multipart()
            message = orjson.loads(head)
            op = message["op"]
            if op == "stop" and "stop" not in handlers:
                await socket.send_multipart([orjson.dumps({"id": message["id"], "body": {}})])
                return
            try:
                with full_disk_as_user_error():
                    body, out = await handlers[op](message["body"], blobs)
            except NotBegun:
                await socket.send_multipart([orjson.dumps({"id": message["id"], "not_begun": True})])
                continue
            except UserError as error:
                answer = {"id": message["id"], "faults": error.faults, "hint": error.hint}
                await socket.send_multipart([orjson.dumps(answer)])
                continue
            await socket.send_multipart([orjson.dumps({"id": message["id"], "body": body}), *out])
            if op == "stop":
                return
    finally:
        socket.close()
