"""What the processes of all parts share: arguments, event loop, orderly end."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
from collections.abc import Callable

from lab.lockstep.link import Handler, serve_part
from lab.lockstep.link_keys import VARIABLE, PartKey

_OBJECTS_BEFORE_COLLECTION = 50_000


def run_part(describe: str, handlers: Callable[[str], dict[str, Handler]]) -> None:
    """Parse ``--name``, ``--link`` and ``--run`` and serve until the lab says ``stop``.

    Ctrl-C belongs to the lab, which ends its parts in order; a part ignores it.
    """
    parser = argparse.ArgumentParser(description=describe)
    parser.add_argument("--name", required=True)
    parser.add_argument("--link", required=True)
    parser.add_argument("--run", required=True)
    arguments = parser.parse_args()
    # Taken out: what a part starts is not the part.
    key = PartKey.from_text(os.environ.pop(VARIABLE))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Of what a part makes hardly anything is in a cycle, and what it has imported stays: a collector that looks at all
    # of it every 700 objects took 4 % of a fleet's time.
    gc.freeze()
    gc.set_threshold(_OBJECTS_BEFORE_COLLECTION)

    async def main() -> None:
        await serve_part(arguments.name, arguments.link, handlers(arguments.name), run=arguments.run, key=key)

    try:
        import uvloop
    except ImportError:
        asyncio.run(main())
    else:
        uvloop.run(main())
