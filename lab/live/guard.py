"""Who may see and do what on the page: by the run's token, by the host that is asked for, and never for a foreign page.

The address that `amilab up` prints carries the token; the page keeps it as a cookie that no script and no other site
can use. What changes something needs the token in a header as well, which a foreign page cannot send along.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Sequence

from fastapi import Request, Response
from fastapi.responses import PlainTextResponse, RedirectResponse

TOKEN_HEADER = "X-Amilab-Token"  # noqa: S105 - the header's name
TOKEN_PARAMETER = "token"  # noqa: S105 - the parameter's name
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
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Guard:
    """An HTTP middleware.

    :param host: where the page listens; if that is not loopback, the page may be asked for under any name.
    """

    def __init__(self, token: str, host: str, port: int) -> None:
        self._token = token
        self._cookie = f"amilab-{port}"
        names = [host, "localhost", "127.0.0.1", "[::1]"] if is_loopback(host) else None
        self._hosts: Sequence[str] | None = names and [f"{name}:{port}" for name in names]

    async def __call__(self, request: Request, proceed: Callable[[Request], Awaitable[Response]]) -> Response:
        response = self._refusal(request) or await proceed(request)
        response.headers.update(_HEADERS)
        return response

    def _refusal(self, request: Request) -> Response | None:
        if self._hosts is not None and request.headers.get("host", "") not in self._hosts:
            # A name that somebody else lets point to this machine.
            return PlainTextResponse("This page is served to this machine only.", 421)
        offered = request.query_params.get(TOKEN_PARAMETER)
        if request.url.path == "/" and offered is not None and self._is_token(offered):
            entered = RedirectResponse("/", 303)
            entered.set_cookie(self._cookie, self._token, httponly=True, samesite="strict", path="/")
            return entered
        by_header = self._is_token(request.headers.get(TOKEN_HEADER, ""))
        by_cookie = self._is_token(request.cookies.get(self._cookie, ""))
        if not by_header and not by_cookie:
            return PlainTextResponse("Open the address that `amilab up` has printed: it carries the token.", 401)
        if request.method not in _READS and not by_header:
            return PlainTextResponse(f"The header {TOKEN_HEADER} is missing.", 403)
        return None

    def _is_token(self, offered: str) -> bool:
        return hmac.compare_digest(offered.encode(), self._token.encode())
