"""Calling pandapower: without its advice on optional accelerators, and with one error for whatever it raises.

pandapower checks little of what it is given. A net that somebody else made can therefore end in any error of
pandapower, pandas, numpy or scipy; which one depends on their releases. Here, and only around calls of pandapower, all
of them become `PandapowerError`.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pandapower as pp

_NUMBA = importlib.util.find_spec("numba") is not None
"""Used when it is there, not asked for."""


class PandapowerError(RuntimeError):
    """pandapower cannot do with this net what it was asked for; the message is its own, on one line."""


class NotConvergedError(PandapowerError):
    """The power flow has no solution."""


@contextmanager
def quiet_pandapower() -> Iterator[None]:
    """Hold back pandapower's warnings where its own functions run a power flow that takes no `numba=`."""
    logger = logging.getLogger("pandapower")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def pandapower_call() -> Iterator[None]:
    """Around a call of pandapower with a foreign net. Raises PandapowerError."""
    try:
        with quiet_pandapower():
            yield
    except pp.LoadflowNotConverged as error:
        raise NotConvergedError(_one_line(error)) from error
    except Exception as error:  # any: see the module
        raise PandapowerError(_one_line(error)) from error


def run_power_flow(net: Any) -> None:
    """pandapower's power flow; results stay in `net`. Raises PandapowerError."""
    with pandapower_call():
        pp.runpp(net, numba=_NUMBA)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
