"""The stream of a lab's states, as server-sent events: one when there is news, and at least one each second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
from fastapi import Response
from starlette.types import Message, Receive, Scope, Send

from lab.live.feed import Feed

QUIET_S = 1.0
"""The stream says at least this often what time it is."""
LEAST_S = 0.1
"""And no more often than this."""


class StateStream(Response):
    """Goes on until `closing` is set, after one more state, or until nobody listens any more."""

    media_type = "text/event-stream"

    def __init__(self, feed: Feed, state: Callable[[], dict[str, Any]], closing: asyncio.Event) -> None:
        # Proxies are to pass it on at once.
        super().__init__(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._feed, self._state, self._closing = feed, state, closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as ASGI has it
        with self._feed.listening() as news:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            gone = asyncio.create_task(_gone(receive), name="listener of the stream")
            try:
                while not gone.done():
                    last = self._closing.is_set()
                    event = b"event: state\ndata: " + orjson.dumps(self._state()) + b"\n\n"
                    await send({"type": "http.response.body", "body": event, "more_body": not last})
                    if last:
                        return
                    await asyncio.sleep(LEAST_S)
                    await _news_or_quiet(news)
            finally:
                gone.cancel()


async def _news_or_quiet(news: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(QUIET_S):
            await news.wait()
    except TimeoutError:
        return
    news.clear()


async def _gone(receive: Receive) -> None:
    """Return when the client is."""
    message: Message = {}
    while message.get("type") != "http.disconnect":
        message = await receive()
