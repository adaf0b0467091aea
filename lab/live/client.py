"""The command line's way to a running lab: the page's own interface, over loopback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx

from lab.errors import UserError
from lab.live.guard import TOKEN_HEADER
from lab.live.handle import Handle, find

_JSON = {"Content-Type": "application/json"}
PATIENCE_S = 30.0
"""A fault is chosen by the grid, which may be in the middle of a power flow."""


class Client:
    """Talks to one lab."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    @classmethod
    def of(cls, place: Path) -> Client:
        """:raises UserError: no lab, or more than one, runs there."""
        return cls(find(place))

    def get(self, path: str) -> Any:
        """:raises UserError: the lab refuses, or cannot be reached."""
        return self._asked("GET", path, None)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """:raises UserError: the lab refuses, or cannot be reached."""
        return self._asked("POST", path, body)

    def _asked(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        try:
            # Whatever proxy the environment names, a lab is asked without it.
            with httpx.Client(trust_env=False, timeout=PATIENCE_S, headers={TOKEN_HEADER: self._handle.token}) as http:
                # As ASCII: words of a command line need not be Unicode.
                content = None if body is None else json.dumps(body)
                answer = http.request(method, f"{self._handle.url}/api/{path}", content=content, headers=_JSON)
        except httpx.HTTPError as error:
            raise UserError(
                f"the lab at {self._handle.url} does not answer: {error}", "Is it coming to its end?"
            ) from error
        if answer.is_success:
            return answer.json()
        try:
            refusal = answer.json()
        except ValueError:
            refusal = {"faults": [answer.text or f"status {answer.status_code}"], "hint": None}
        raise UserError(refusal["faults"], refusal["hint"])
