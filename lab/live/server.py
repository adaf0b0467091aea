"""Serves the page beside the lab, in its event loop, for as long as the lab lives."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn

from lab.errors import UserError
from lab.live.app import make_app
from lab.live.guard import TOKEN_FRAGMENT, Hosts, is_loopback
from lab.live.handle import Handle, announced, opening_page
from lab.live.limits import LIMITS, Limits, protocol
from lab.live.session import Session

LAST_WORDS_S = 1
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
        show: Callable[[str, Path], None],
        also: Collection[str] = (),
        limits: Limits = LIMITS,
    ) -> None:
        """:param tell: what the user should know; `show`: the page's address, with the token, once it is served, and
            a file that leads a browser to it.
        :param also: more host names that the page answers to.
        """
        self._listener, self._host, self._token = listener, host, token
        self._tell, self._show, self._limits = tell, show, limits
        self._port = listener.getsockname()[1]
        self._hosts = Hosts(host, self._port, also)

    @property
    def url(self) -> str:
        """Without the token."""
        return f"http://{f'[{self._host}]' if ':' in self._host else self._host}:{self._port}"

    @asynccontextmanager
    async def serving(self, session: Session) -> AsyncIterator[None]:
        closing = asyncio.Event()
        app = make_app(session, self._token, self._hosts, closing, self._limits)
        config = uvicorn.Config(
            app,
            # What a client does wrong is no news for whoever runs the lab.
            log_level="error",
            access_log=False,
            lifespan="off",
            server_header=False,
            http=protocol(self._limits),
            ws="none",
            h11_max_incomplete_event_size=self._limits.head_bytes,
            # By then nobody is left: else it tells of each that it has cancelled.
            timeout_graceful_shutdown=2 * LAST_WORDS_S,
        )
        server = _Server(config)
        task = asyncio.create_task(server.serve([self._listener]), name="live page")
        handle = Handle.here(self.url, self._token)
        try:
            url, directory = f"{self.url}/#{TOKEN_FRAGMENT}={self._token}", session.scene.directory
            with announced(handle, directory), opening_page(url, directory) as opening:
                self._show(url, opening)
                if not is_loopback(self._host):
                    self._tell("anybody on the network who has this address can see and disturb the lab")
                yield
        finally:
            closing.set()
            session.feed.wake()
            server.should_exit = True
            asyncio.get_running_loop().call_later(LAST_WORDS_S, _hang_up, server)
            await asyncio.gather(task, return_exceptions=True)


def _hang_up(server: uvicorn.Server) -> None:
    """On a client that has not taken its last answer yet."""
    for connection in list(server.server_state.connections):
        connection.transport.abort()
