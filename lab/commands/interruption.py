"""How a command that runs a lab is interrupted."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
EXIT_INTERRUPTED = 130


def until_interrupted(work: Coroutine[Any, Any, T], *, rather: Callable[[], bool] = lambda: False) -> T:
    """Ctrl-C and SIGTERM end the run in order: the task is cancelled, and with it every process of the lab ends.

    :param rather: what to try before that; True if it will do.
    """

    async def main() -> T:
        task = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()

        def interrupt() -> None:
            if not rather():
                task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, interrupt)
        return await task

    return asyncio.run(main())
