"""What a client of the page may take up: so that one that is slow, greedy or broken costs nobody else anything.

uvicorn limits what it reads of a request's head, but not for how long; nor how many connections are open, how large a
body is, how long it takes to come, and for how long a client may leave what it is sent.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, ClassVar

import h11
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from lab.live.guard import is_public


@dataclass(frozen=True, slots=True)
class Limits:
    """`head_s`: until a request's head is there, from the connection or the answer before; `body_s`: the body after it.

    `download_s`: what is for everybody, whole; `stalled_s`: for how long a client may take nothing of what it is sent.
    `streams`: how many listen at once.
    """

    connections: int = 200
    streams: int = 32
    head_bytes: int = 16 << 10
    body_bytes: int = 64 << 10
    head_s: float = 10.0
    body_s: float = 10.0
    download_s: float = 120.0
    stalled_s: float = 30.0


LIMITS = Limits()


def protocol(limits: Limits) -> type[H11Protocol]:
    """uvicorn's protocol for the connections of one server, with these limits.

    Where there are too many connections, the oldest goes of those that ask nothing, or only for what is everybody's
    without a token: who has just come and asks at once is served, however many there are who do not.
    """
    return type("LimitedProtocol", (_Limited,), {"limits": limits, "idle": {}})


class _Limited(H11Protocol):
    limits: ClassVar[Limits]
    idle: ClassVar[dict[H11Protocol, None]]
    """Connections that ask nothing, or only for what is everybody's; the oldest first."""
    _deadline: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()
        if len(self.connections) > self.limits.connections:
            next(iter(self.idle)).transport.abort()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._asked:
            return
        if is_public(self.scope["path"]):
            self._end_within(self.limits.download_s)
        else:
            self._go_on()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._asked:
            self._wait()

    def send_400_response(self, msg: str) -> None:
        # In the middle of a request: nobody answers it any more, and this answer does not come within another.
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.abort()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(self.limits.stalled_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._go_on()
        if self._stalled is not None:
            self._stalled.cancel()

    @property
    def _asked(self) -> bool:
        """Whether a request is under way."""
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self) -> None:
        self.idle.pop(self, None)
        if not self.transport.is_closing():
            self.idle[self] = None
        # Also for one that closes: it may never take the rest of its answer.
        self._end_within(self.limits.head_s)

    def _go_on(self) -> None:
        self.idle.pop(self, None)
        if self._deadline is not None:
            self._deadline.cancel()

    def _end_within(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(seconds, self.transport.abort)


class Bodies:
    """An ASGI middleware: whoever works on a request has all of its body, and it is of a bearable size."""

    def __init__(self, app: ASGIApp, limits: Limits = LIMITS) -> None:
        self._app, self._limits = app, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._limits.body_s):
                body = await self._read(receive, int(headers.get("content-length", "0")))
        except TimeoutError:
            await _refused(408, f"The body has not come within {self._limits.body_s:g} s.")(scope, receive, send)
            return
        if body is None:
            fault = f"The body is larger than {self._limits.body_bytes:,} bytes."
            await _refused(413, fault)(scope, receive, send)
            return
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def read() -> Message:
            return whole.pop() if whole else await receive()

        await self._app(scope, read, send)

    async def _read(self, receive: Receive, announced: int) -> bytes | None:
        """None if it is too large, or does not come to its end."""
        body = bytearray()
        if announced > self._limits.body_bytes:
            return None
        while True:
            message: Any = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if len(body) > self._limits.body_bytes:
                return None
            if not message.get("more_body", False):
                return bytes(body)


def _refused(status: int, fault: str) -> JSONResponse:
    return JSONResponse({"faults": [fault], "hint": None}, status, {"Connection": "close"})
