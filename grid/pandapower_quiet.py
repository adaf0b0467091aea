"""Calling pandapower without its advice on optional accelerators: numba is used when it is there, not asked for."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager

NUMBA = importlib.util.find_spec("numba") is not None
"""Pass as `numba=` to every power flow."""


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
