"""Clients that are slow, greedy or broken, against the page's real server: they end, and others are served."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from lab.live.app import chart_library
from lab.live.feed import Feed
from lab.live.guard import TOKEN_HEADER
from lab.live.limits import Bodies, Limits
from lab.live.server import PageServer, listen

TOKEN = "a-token"
LIMITS = Limits(
    connections=20,
    streams=2,
    head_bytes=4_096,
    body_bytes=1_000,
    head_s=0.4,
    body_s=0.4,
    stalled_s=0.4,
)
PATIENCE_S = 20
WHOLE = chart_library().stat().st_size


@dataclass
class Page:
    """A server of a lab that is nothing but its feed and its state."""

    port: int
    feed: Feed
    states: dict[str, Any]
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def open(self, **how: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, **how)
        self.writers.append(writer)
        return reader, writer

    async def download(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Asks for what is large and everybody's, and has hardly a buffer for it."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        reader, writer = await asyncio.open_connection(sock=sock, limit=1_000)
        self.writers.append(writer)
        writer.write(f"GET /charts.js HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n\r\n".encode())
        await reader.readexactly(100)
        return reader, writer

    async def says(self, request: bytes) -> bytes:
        """The whole answer, until the server hangs up."""
        reader, writer = await self.open()
        writer.write(request)
        return await until_end(reader)

    def http(self) -> httpx.AsyncClient:
        url = f"http://127.0.0.1:{self.port}"
        return httpx.AsyncClient(base_url=url, headers={TOKEN_HEADER: TOKEN}, trust_env=False, timeout=PATIENCE_S)

    async def serves(self) -> None:
        async with self.http() as client:
            assert (await client.get("/api/state")).status_code == 200


# Tests of what the terminal is told take `capfd` before `page`: uvicorn keeps the stderr that it finds.
@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    async with served(tmp_path) as page:
        yield page


@contextlib.asynccontextmanager
async def served(directory: Path, limits: Limits = LIMITS) -> AsyncIterator[Page]:
    listener = listen("127.0.0.1", 0)
    server = PageServer(listener, "127.0.0.1", TOKEN, lambda _: None, lambda *_: None, limits=limits)
    page = Page(listener.getsockname()[1], Feed(), {"phase": "living"})
    session = SimpleNamespace(feed=page.feed, state=lambda: page.states, scene=SimpleNamespace(directory=directory))
    async with server.serving(cast("Any", session)):
        await page.serves()
        yield page
    for writer in page.writers:
        writer.close()


async def until_end(reader: asyncio.StreamReader) -> bytes:
    """Everything until the server hangs up. Fails if it does not."""
    taken = bytearray()
    async with asyncio.timeout(PATIENCE_S):
        with contextlib.suppress(ConnectionError):
            while more := await reader.read(65_536):
                taken += more
    return bytes(taken)


async def drip(writer: asyncio.StreamWriter, what: bytes) -> None:
    """A byte now and then, for ever."""
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(what)
            await writer.drain()
            await asyncio.sleep(0.05)


@contextlib.contextmanager
def dripping(writer: asyncio.StreamWriter, what: bytes) -> Iterator[None]:
    task = asyncio.create_task(drip(writer, what))
    yield
    task.cancel()


HEAD = f"Host: 127.0.0.1:{{port}}\r\n{TOKEN_HEADER}: {TOKEN}\r\n"


def head(page: Page, line: str, *more: str) -> bytes:
    return (f"{line} HTTP/1.1\r\n" + HEAD.format(port=page.port) + "".join(f"{each}\r\n" for each in more)).encode()


async def test_a_head_that_drips_in_is_not_waited_for(page: Page) -> None:
    reader, writer = await page.open()
    writer.write(b"GET / HTTP/1.1\r\nX-Slow: ")
    with dripping(writer, b"x"):
        assert await until_end(reader) == b""
    await page.serves()


async def test_a_second_head_that_drips_in_is_not_either(page: Page) -> None:
    reader, writer = await page.open()
    writer.write(head(page, "GET /api/state") + b"\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.write(b"GET / HTTP/1.1\r\nX-Slow: ")
    with dripping(writer, b"x"):
        await until_end(reader)


async def test_a_connection_that_says_nothing_ends(page: Page) -> None:
    reader, _ = await page.open()
    assert await until_end(reader) == b""


async def test_hundreds_of_connections_take_no_place_from_others(page: Page) -> None:
    opened = []
    for _ in range(15):
        opened += [await page.open() for _ in range(20)]
        await page.serves()
    ends = await asyncio.gather(*(until_end(reader) for reader, _ in opened))
    assert not any(ends)


async def test_a_large_body_is_not_taken(page: Page) -> None:
    announced = head(page, "POST /api/inject", "Content-Length: 1001")
    assert b" 413 " in await page.says(announced + b"\r\n" + b"x" * 1001)
    chunked = head(page, "POST /api/inject", "Transfer-Encoding: chunked") + b"\r\n"
    assert b" 413 " in await page.says(chunked + b"3e8\r\n" + b"x" * 1000 + b"\r\n1\r\nx\r\n0\r\n\r\n")
    endless = await page.says(head(page, "POST /api/inject", "Content-Length: 99999999999") + b"\r\n")
    assert b"larger than 1,000 bytes" in endless
    await page.serves()


async def test_a_body_that_drips_in_is_not_waited_for(page: Page) -> None:
    reader, writer = await page.open()
    writer.write(head(page, "POST /api/inject", "Content-Length: 900") + b"\r\n")
    with dripping(writer, b" "):
        answer = await until_end(reader)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"has not come within" in answer


async def test_a_body_for_what_needs_none_ends_too(page: Page) -> None:
    """Whoever has no token is not listened to for longer than he has already been answered."""
    reader, writer = await page.open()
    writer.write(f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\nContent-Length: 99999\r\n\r\n".encode())
    with dripping(writer, b"x" * 50):
        assert b" 401 " in await until_end(reader)


async def test_who_does_not_take_what_is_sent_is_hung_up_on(page: Page) -> None:
    reader, writer = await page.download()
    # Nothing is read meanwhile but what fits into the buffers: awaited is the reset that follows.
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                writer.write(b"x")
                await writer.drain()
            except ConnectionError:
                break
            await asyncio.sleep(0.05)
    assert len(await until_end(reader)) < 1_000_000
    await page.serves()


async def test_slow_downloads_of_what_is_everybody_s_take_no_place_from_others(tmp_path: Path) -> None:
    """Each takes a little now and then, so none is stalled, and none is idle."""
    async with served(tmp_path, replace(LIMITS, stalled_s=60.0, head_s=60.0)) as page:
        opened = []
        for _ in range(3 * LIMITS.connections):
            opened.append(await page.download())
            await page.serves()
        ended = [await until_end(reader) for reader, _ in opened[: LIMITS.connections]]
        assert all(len(each) < WHOLE for each in ended), "the oldest have gone"


async def test_a_download_comes_to_its_end(tmp_path: Path) -> None:
    async with served(tmp_path, replace(LIMITS, download_s=0.3)) as page:
        reader, writer = await page.download()
        # It goes on taking a little, until the server has hung up.
        async with asyncio.timeout(PATIENCE_S):
            with contextlib.suppress(ConnectionError):
                while await reader.read(500):
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(0.02)
        assert len(await until_end(reader)) < WHOLE


async def test_the_end_waits_for_no_client_and_tells_the_terminal_of_none(tmp_path: Path, capfd: Any) -> None:
    async with served(tmp_path, replace(LIMITS, stalled_s=60.0)) as page:
        for _ in range(3):
            await page.download()
    assert "".join(capfd.readouterr()) == ""


async def test_so_many_windows_follow_and_no_more(page: Page) -> None:
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(page.http())
        for _ in range(LIMITS.streams):
            stream = await stack.enter_async_context(client.stream("GET", "/api/stream"))
            assert stream.status_code == 200
        refused = await client.get("/api/stream")
        assert refused.status_code == 503
        assert "So many windows" in refused.json()["faults"][0]
    async with asyncio.timeout(PATIENCE_S), page.http() as client:
        while page.feed.listeners:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.02)
        async with client.stream("GET", "/api/stream") as stream:
            assert stream.status_code == 200


async def test_a_stream_goes_on_for_longer_than_any_request_may_take(page: Page) -> None:
    async with page.http() as client, client.stream("GET", "/api/stream") as stream:
        news = stream.aiter_lines()
        for _ in range(8):
            while not (await anext(news)).startswith("data:"):
                pass
            page.feed.tell(1, "lab", "news")


async def test_the_last_that_a_stream_tells_is_how_the_lab_has_ended(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with served(tmp_path) as page:
            client = await stack.enter_async_context(page.http())
            stream = await stack.enter_async_context(client.stream("GET", "/api/stream"))
            lines = stream.aiter_lines()
            await anext(lines)
            page.states["ended"] = {"words": "PASSED, 13 of 13"}
        told = [line async for line in lines]
    assert "PASSED, 13 of 13" in [line for line in told if line.startswith("data:")][-1]


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: x\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"x" * 10_000 + b"\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_answered_and_not_told_of(capfd: Any, page: Page, garbage: bytes) -> None:
    answer = await page.says(garbage)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 421 "))
    assert "".join(capfd.readouterr()) == "", "the terminal is the user's"
    await page.serves()


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/", "/api/state", "/nothing"])
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("token", [TOKEN, "none"])
async def test_a_body_that_breaks_the_protocol_is_not_told_of(
    capfd: Any, page: Page, method: str, path: str, together: bool, token: str
) -> None:
    reader, writer = await page.open()
    asked = head(page, f"{method} {path}", "Transfer-Encoding: chunked") + b"\r\n"
    asked = asked.replace(TOKEN.encode(), token.encode())
    if not together:
        writer.write(asked + b"2\r\n{}\r\n")
        await page.serves()
        asked = b""
    writer.write(asked + b"ZZZ\r\n")
    # 408: a machine that is busy had not read it in time.
    statuses = (b"", *(b"HTTP/1.1 %d" % status for status in (200, 400, 401, 404, 408)))
    assert (await until_end(reader))[:12] in statuses
    await page.serves()
    assert "".join(capfd.readouterr()) == "", "the terminal is the user's"


async def test_half_a_body_is_none() -> None:
    """Even if it could be understood."""
    asked: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        asked.append((await receive())["body"])

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(_message: Any) -> None:
        return

    scope = {"type": "http", "method": "POST", "headers": [(b"content-length", b"10")]}
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": b"{}", "more_body": True},
        {"type": "http.disconnect"},
    ]
    await Bodies(app)(scope, receive, send)
    assert asked == []


async def test_websockets_are_not_spoken(capfd: Any, page: Page) -> None:
    upgrade = head(
        page, "GET /api/state", "Connection: Upgrade, close", "Upgrade: websocket", "Sec-WebSocket-Key: eA=="
    )
    assert b" 200 " in await page.says(upgrade + b"\r\n")
    assert "".join(capfd.readouterr()) == ""
