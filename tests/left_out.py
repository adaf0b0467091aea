"""What tests need and a machine may lack: without it they are left out, and the end of the run says which and why.

In CI it has to be there: a test that needs it fails.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from typing import NoReturn

import pytest

IN_CI = "CI" in os.environ
_SAYS = "left out: "


def reason(tests: str, how: str) -> str:
    """`left out: tests on mosquitto (apt install mosquitto)`."""
    return f"{_SAYS}{tests} ({how})"


def lacking(tests: str, how: str, *, in_ci: bool = True) -> NoReturn:
    """Leave the test out that asks; in CI, fail it, unless there it need not be (`in_ci`) either."""
    if IN_CI and in_ci:
        pytest.fail(reason(tests, how))
    pytest.skip(reason(tests, how))


def unless(there: object, tests: str, how: str) -> pytest.MarkDecorator:
    """A mark that leaves tests out unless what they need is there."""
    return pytest.mark.skipif(not there and not IN_CI, reason=reason(tests, how))


def lines(reasons: Iterable[str]) -> list[str]:
    """A line for each group, with how many tests it is; other reasons are none of ours."""
    counted = Counter(text.split(_SAYS, 1)[1] for text in reasons if _SAYS in text)
    return [f"{_SAYS}{count} {_one(tests) if count == 1 else tests}" for tests, count in sorted(counted.items())]


def _one(tests: str) -> str:
    return "test" + tests.removeprefix("tests")


MOSQUITTO = ("tests on mosquitto", "apt install mosquitto")
CHROMIUM = ("tests of pages", "apt install chromium")
GUARD = ("tests of the broker's guard", "apt install gcc libc6-dev mosquitto-dev libmosquitto-dev")
IOTCORE = ("tests on the broker from a wheel", "make test installs it: iotcore")
POSTGRES = ("tests on the system's PostgreSQL", "apt install postgresql")
FULL_DISK = ("tests of a full disk", "they mount one: run them as root")
TWO_USERS = ("tests of two users on one machine", "run them as root")
