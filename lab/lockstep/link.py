"""The link between the lab and its parts: request and reply over ZeroMQ, outside the metering network.

The lab has one ROUTER socket, each part a DEALER socket. Both ends know each other by their CURVE keys: whoever has no
key that the lab has admitted does not get as far as a first message, and whoever has one may take the names that go
with it, and no others. So no part is believed to be another, and none is believed to send what it should: a message
that is none costs its sender alone. docs/lab-link.md has who gets which key.

The same link serves a part in this process, in another one, or in another container.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import gethostname

import orjson
import zmq
import zmq.asyncio
from zmq.auth.asyncio import AsyncioAuthenticator

from lab.errors import PartFailed, UserError, full_disk_as_user_error
from lab.lockstep.link_frames import (
    MOST_BYTES,
    Answer,
    BadFrame,
    Body,
    Hello,
    answer_frames,
    hello_frames,
    read_message,
)
from lab.lockstep.link_keys import KeyPair, PartKey

__all__ = ["Body", "Handler", "LabLink", "NotBegun", "PartGone", "Reply", "serve_part"]

Handler = Callable[[Body, Sequence[bytes]], Awaitable[tuple[Body, Sequence[bytes]]]]
_IPC = "ipc://"
_ZAP_DOMAIN = b"amilab"
_MOST_WAITING = 8
"""Messages of one part that the lab has not looked at; a part answers one call after the other."""
_HANDSHAKE_MS = 10_000


class PartGone(Exception):  # noqa: N818 - names the state
    """The part was killed, died, or was replaced by another process of its name, before it answered."""


class NotBegun(Exception):  # noqa: N818 - names the state
    """A part is asked for something before its `init`: whoever asks still knows the process that was here before."""


@dataclass(frozen=True, slots=True)
class Reply:
    part: str
    op: str
    body: Body
    blobs: Sequence[bytes] = ()


class LabLink:
    """The lab's end: calls parts by name.

    :raises PartGone: from a call whose part is dropped, or was never there, before it answers.
    :raises PartFailed: from a call to a part that sent what is no message.
    :raises UserError: from a call that the part answered with faults for the user.
    """

    def __init__(self, address: str, *, run: str, key: KeyPair | None = None) -> None:
        """:param address: ``ipc://PATH``, in a directory of the lab's own, or ``tcp://HOST:PORT``.
        :param run: parts of other runs are not let in.
        :param key: the lab's own; a new one if not given.

        :raises UserError: it cannot listen there.
        """
        self.address = address
        self.run = run
        self._key = key or KeyPair.new()
        # Whom libzmq asks whether a key is admitted, it finds by the context.
        self._context = zmq.asyncio.Context()
        self._doorman = AsyncioAuthenticator(self._context)
        self._doorman.configure_curve_callback(_ZAP_DOMAIN.decode(), self)
        self._doorman.start()
        self._socket: zmq.asyncio.Socket = self._context.socket(zmq.ROUTER)
        options: dict[int, int | bytes] = {
            zmq.LINGER: 0,
            zmq.MAXMSGSIZE: MOST_BYTES,
            zmq.RCVHWM: _MOST_WAITING,
            zmq.HANDSHAKE_IVL: _HANDSHAKE_MS,
            zmq.ZAP_DOMAIN: _ZAP_DOMAIN,
            zmq.CURVE_SERVER: 1,
            zmq.CURVE_SECRETKEY: self._key.secret.encode(),
            zmq.CURVE_PUBLICKEY: self._key.public.encode(),
        }
        for option, value in options.items():
            self._socket.setsockopt(option, value)
        self._names: dict[str, set[str]] = {}  # that may be taken with a key
        self._connections: dict[str, bytes] = {}  # of the parts that are there, by name
        self._ids = itertools.count(1)
        self._waiting: dict[int, tuple[str, asyncio.Future[Answer]]] = {}
        self._present: dict[str, asyncio.Event] = {}
        self._lives: dict[str, int] = {}
        self._hosts: dict[str, str] = {}
        self._awaited: dict[str, float] = {}
        self._waiters: Counter[str] = Counter()
        self._bound = _reachable(address)
        try:
            _bind(self._socket, self._bound.__enter__(), address)
        except UserError:
            self._end()
            raise
        self._reader = asyncio.create_task(self._read(), name="link")

    def admit(self, name: str, public: str) -> None:
        """Let whoever has the secret of this public key take the part `name`, as often as processes of it come."""
        self._names.setdefault(public, set()).add(name)

    def new_part(self, name: str) -> PartKey:
        """A key with which only `name` can be taken."""
        own = KeyPair.new()
        self.admit(name, own.public)
        return self.part_key(own)

    def part_key(self, own: KeyPair) -> PartKey:
        """What a part with this pair of its own needs."""
        return PartKey(own, self._key.public)

    async def wait_for(self, name: str) -> None:
        """Return once the part `name` has connected."""
        self._awaited.setdefault(name, time.monotonic())
        self._waiters[name] += 1
        try:
            await self._present.setdefault(name, asyncio.Event()).wait()
        finally:
            self._waiters[name] -= 1
            # Who gives up may leave others who still wait.
            if not self._waiters[name]:
                del self._awaited[name]

    @property
    def present(self) -> list[str]:
        """The names of the parts that are there."""
        return list(self._connections)

    @property
    def awaited(self) -> dict[str, float]:
        """For whom somebody waits who is not there, and since when [s of `time.monotonic`]."""
        return {name: since_s for name, since_s in self._awaited.items() if name not in self._connections}

    def life(self, name: str) -> int:
        """How often a process has connected under this name. Another one after each hand-over."""
        return self._lives.get(name, 0)

    def host(self, name: str) -> str:
        """The host name of the process that connected last under this name: in a container, its id. Raises KeyError.

        As the process says: whoever acts on it must know that it can be.
        """
        return self._hosts[name]

    async def call(self, name: str, op: str, /, *blobs: bytes, **body: object) -> Reply:
        """Ask part `name` to do `op` and wait for its answer."""
        connection = self._connections.get(name)
        if connection is None:
            raise PartGone(name)
        number = next(self._ids)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[number] = (name, future)
        try:
            head = orjson.dumps({"id": number, "op": op, "body": body})
            await self._socket.send_multipart([connection, head, *blobs])
            answer = await future
        finally:
            self._waiting.pop(number, None)
        return Reply(name, op, answer.body, answer.blobs)

    def drop(self, name: str, *, life: int | None = None) -> None:
        """Forget a part that is gone: every call to it fails with `PartGone` until it connects again.

        With a `life`: unless another process has taken its place since then.
        """
        if life not in (None, self.life(name)):
            return
        if name in self._present:
            # Whoever waits for it waits for this very event.
            self._present[name].clear()
        self._connections.pop(name, None)
        self._fail_calls(name, PartGone(name))

    async def close(self) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        self._end()
        await asyncio.sleep(0)  # for the doorman's task to end

    def callback(self, _domain: str, key: bytes) -> bool:
        """Whether a key is admitted; pyzmq's authenticator asks."""
        return key.decode() in self._names

    def _end(self) -> None:
        self._doorman.stop()
        self._socket.close()
        self._context.term()
        self._bound.__exit__(None, None, None)

    def _fail_calls(self, name: str, error: Exception) -> None:
        for part, future in list(self._waiting.values()):
            if part == name and not future.done():
                future.set_exception(error)

    async def _read(self) -> None:
        while True:
            sender, *frames = await self._socket.recv_multipart(copy=False)
            if frames:
                self._hear(sender.bytes, str(frames[0].get("User-Id")), [frame.bytes for frame in frames])
            # There may always be another: one that talks without end must not keep the loop from everything else.
            await asyncio.sleep(0)

    def _hear(self, sender: bytes, key: str, frames: Sequence[bytes]) -> None:
        try:
            message = read_message(frames)
        except BadFrame as bad:
            what = f"sent a message that is none: {bad}"
            for name in [name for name, connection in self._connections.items() if connection == sender]:
                self._fail_calls(name, PartFailed(name, None, what=what))
            return
        if isinstance(message, Hello):
            self._greeted(sender, key, message)
        else:
            self._answered(sender, message)

    def _greeted(self, sender: bytes, key: str, hello: Hello) -> None:
        name = hello.name
        if hello.run != self.run or name not in self._names.get(key, ()) or self._connections.get(name) == sender:
            return
        # What the process before was asked, this one will not answer.
        self._fail_calls(name, PartGone(name))
        self._connections[name] = sender
        self._lives[name] = self.life(name) + 1
        self._hosts[name] = hello.host
        self._present.setdefault(name, asyncio.Event()).set()

    def _answered(self, sender: bytes, answer: Answer) -> None:
        name, future = self._waiting.get(answer.number, ("", None))
        if future is None or future.done() or self._connections.get(name) != sender:
            return
        if answer.not_begun:
            future.set_exception(PartGone(name))
        elif answer.faults:
            future.set_exception(UserError(answer.faults, answer.hint))
        else:
            future.set_result(answer)


@contextmanager
def _reachable(address: str) -> Iterator[str]:
    """The address as libzmq can use it as long as this is open.

    The name of a socket in the file system may have 107 bytes (unix(7)), and a TMPDIR more: so it is found through its
    directory, opened beforehand.
    """
    if not address.startswith(_IPC):
        yield address
        return
    path = Path(address.removeprefix(_IPC))
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"{_IPC}/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def _bind(socket: zmq.asyncio.Socket, reachable: str, address: str) -> None:
    try:
        socket.bind(reachable)
    except zmq.ZMQError as error:
        raise UserError(
            f"the lab link cannot listen on {address.partition('://')[2]}: {error.strerror}",
            "Is another run under way there?",
        ) from error


async def serve_part(name: str, address: str, handlers: Mapping[str, Handler], *, run: str, key: PartKey) -> None:
    """A part's end: answer the lab's calls one after another until it says ``stop``.

    A `UserError` of a handler goes back as the answer; any other exception is a programming error and ends the part.
    """
    socket: zmq.asyncio.Socket = zmq.asyncio.Context.instance().socket(zmq.DEALER)
    options: dict[int, int | bytes] = {
        # Of this process alone, and the same when it connects again; what it is called, the lab learns from `hello`.
        zmq.IDENTITY: b"p" + secrets.token_bytes(16),
        zmq.LINGER: 1000,
        zmq.CURVE_SERVERKEY: key.lab.encode(),
        zmq.CURVE_PUBLICKEY: key.own.public.encode(),
        zmq.CURVE_SECRETKEY: key.own.secret.encode(),
    }
    for option, value in options.items():
        socket.setsockopt(option, value)
    with _reachable(address) as reachable:
        socket.connect(reachable)
        try:
            await socket.send_multipart(hello_frames(Hello(name, run, gethostname())))
            while True:
                head, *blobs = await socket.recv_multipart()
                call = orjson.loads(head)
                answer = await _answer(call, blobs, handlers)
                await socket.send_multipart(_frames(answer))
                if call["op"] == "stop" and not answer.faults and not answer.not_begun:
                    return
        finally:
            socket.close()


async def _answer(call: Body, blobs: Sequence[bytes], handlers: Mapping[str, Handler]) -> Answer:
    number, op = call["id"], call["op"]
    if op == "stop" and op not in handlers:
        return Answer(number)
    try:
        with full_disk_as_user_error():
            body, out = await handlers[op](call["body"], blobs)
    except NotBegun:
        return Answer(number, not_begun=True)
    except UserError as error:
        return Answer(number, faults=error.faults, hint=error.hint)
    return Answer(number, body, out)


def _frames(answer: Answer) -> list[bytes]:
    frames = answer_frames(answer)
    largest = max(map(len, frames))
    if largest <= MOST_BYTES:
        return frames
    fault = f"a part's answer has {largest >> 20} MiB, more than the lab link carries ({MOST_BYTES >> 20} MiB)"
    return answer_frames(Answer(answer.number, faults=(fault,), hint="Choose a smaller feeder."))
