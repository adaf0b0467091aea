"""Serves the page beside the lab, in its event loop, for as long as the lab lives."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import uvicorn

from lab.errors import UserError
from lab.live.app import make_app
from lab.live.guard import TOKEN_PARAMETER, Guard, is_loopback
from lab.live.handle import Handle, announced
from lab.live.session import Session

LAST_WORDS_S = 2
"""How long answers that are under way may take at the end."""


class _Server(uvicorn.Server):
    """Ctrl-C belongs to the lab."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int) -> socket.socket:
    """:raises UserError: nobody can listen there."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise UserError(
            f"the page cannot listen on {host}:{port}: {error.strerror}",
            "Choose another --port or --host; is another lab running?",
        ) from error


class PageServer:
    """Use `serving` as a session's `serve`."""

    def __init__(
        self,
        listener: socket.socket,
        host: str,
        token: str,
        tell: Callable[[str], None],
        show: Callable[[str], None],
    ) -> None:
        """:param tell: what the user should know; `show`: the page's address, with the token, once it is served."""
        self._listener, self._host, self._token = listener, host, token
        self._tell, self._show = tell, show
        self._port = listener.getsockname()[1]

    @property
    def url(self) -> str:
        """Without the token."""
        return f"http://{f'[{self._host}]' if ':' in self._host else self._host}:{self._port}"

    @asynccontextmanager
    async def serving(self, session: Session) -> AsyncIterator[None]:
        closing = asyncio.Event()
        app = make_app(session, Guard(self._token, self._host, self._port), self._token, closing)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=LAST_WORDS_S,
        )
        server = _Server(config)
        task = asyncio.create_task(server.serve([self._listener]), name="live page")
        handle = Handle.here(self.url, self._token)
        try:
            with announced(handle, session.scene.directory):
                self._show(f"{self.url}/?{TOKEN_PARAMETER}={self._token}")
                if not is_loopback(self._host):
                    self._tell("anybody on the network who has this address can see and disturb the lab")
                yield
        finally:
            closing.set()
            session.feed.wake()
            server.should_exit = True
            await asyncio.gather(task, return_exceptions=True)
