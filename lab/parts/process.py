"""What the processes of all parts share: arguments, event loop, orderly end."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Callable

from lab.link import Handler, serve_part


def run_part(describe: str, handlers: Callable[[str], dict[str, Handler]]) -> None:
    """Parse ``--name`` and ``--link`` and serve until the lab says ``stop``.

    Ctrl-C belongs to the lab, which ends its parts in order; a part ignores it.
    """
    parser = argparse.ArgumentParser(description=describe)
    parser.add_argument("--name", required=True)
    parser.add_argument("--link", required=True)
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    async def main() -> None:
        await serve_part(arguments.name, arguments.link, handlers(arguments.name))

    try:
        import uvloop
    except ImportError:
        asyncio.run(main())
    else:
        uvloop.run(main())
