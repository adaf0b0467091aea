"""Who may see and do what on the page: by the run's token, and by the host that is asked for.

The address that `amilab up` prints carries the token in its fragment, which no browser sends. The page keeps it where
its own origin alone can read it, and sends it in a header with whatever it asks for. It is no cookie: a browser would
show that to whoever listens on another port of this host. Without it one gets the empty page and its scripts.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

from fastapi import Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN_HEADER = "X-Amilab-Token"  # noqa: S105 - the header's name
TOKEN_FRAGMENT = "token"  # noqa: S105 - the name of what the page finds in its address
_READS = ("GET", "HEAD")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Styles inline: the chart library writes its own."""
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


class Hosts:
    """Under which names the page answers: any other may be one that somebody else lets point here (DNS rebinding).

    On loopback those of this machine for itself; where it listens on an address or a name, that; where it listens on
    all addresses, this machine's name and whatever is an address, since nobody can let that point elsewhere.
    """

    def __init__(self, host: str, port: int, also: Collection[str] = ()) -> None:
        """:param also: more names, each for this port, or with a port of its own."""
        address = _address(host)
        everywhere = address is not None and address.is_unspecified
        own = [host, "localhost", "127.0.0.1", "::1"] if is_loopback(host) else [host]
        if everywhere:
            own = [socket.gethostname(), "localhost"]
        self._port = port
        self._any_address = everywhere
        self._names = {_with_port(name, port) for name in [*own, *also]}

    def answers_to(self, asked: str) -> bool:
        """:param asked: as in the header Host."""
        name, port = _split(asked.lower())
        if (name, port or 80) in self._names:
            return True
        return self._any_address and (port or 80) == self._port and _address(name) is not None


class Guard:
    """An ASGI middleware: nobody gets past whom the header does not speak for, and no answer goes without a policy."""

    def __init__(self, app: ASGIApp, token: str, hosts: Hosts) -> None:
        self._app, self._token, self._hosts = app, token, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        refusal = self._refusal(Request(scope)) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, guarded)

    def _refusal(self, request: Request) -> Response | None:
        asked = request.headers.get("host", "")
        if not self._hosts.answers_to(asked):
            return PlainTextResponse(
                "This page does not answer to that host name. `amilab up --allow-host NAME` lets it do so.", 421
            )
        if request.method in _READS and is_public(request.url.path):
            return None
        if not self._is_token(request.headers.get(TOKEN_HEADER, "")):
            return _refused(401, "Open the address that `amilab up` has printed: it carries the token.")
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != asked.lower():
            return _refused(403, "Another page may not ask this one for anything.")
        return None

    def _is_token(self, offered: str) -> bool:
        return hmac.compare_digest(offered.encode(), self._token.encode())


def is_public(path: str) -> bool:
    """What is the same in every lab."""
    return path in ("/", "/charts.js") or path.startswith("/static/")


def _refused(status: int, fault: str) -> Response:
    return JSONResponse({"faults": [fault], "hint": None}, status)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _split(host: str) -> tuple[str, int | None]:
    """Name and port of `lab`, `lab:8790`, `127.0.0.1:8790`, `::1` or `[::1]:8790`; an impossible port is -1."""
    if _address(host) is not None:
        return host, None
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):
        name, port = host, ""
    number = int(port) if port.isascii() and port.isdecimal() and len(port) <= 5 else -1
    return name.removeprefix("[").removesuffix("]"), number if port else None


def _with_port(host: str, port: int) -> tuple[str, int]:
    name, own = _split(host.lower())
    return name, own or port
