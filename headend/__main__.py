"""`python -m headend`: a head-end on the wall clock, its settings from the environment (AMILAB_HEADEND_…)."""

import asyncio
import signal
import sys

import uvloop
from pydantic import ValidationError

from headend import log
from headend.clock import WallClock
from headend.errors import HeadEndError
from headend.service import HeadEnd
from headend.settings import HeadEndSettings, faults_of_environment


async def _serve(settings: HeadEndSettings) -> None:
    head_end = HeadEnd(settings, WallClock())
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    starting = asyncio.create_task(head_end.start())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return
    starting.result()
    # Whoever started us waits for this line.
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    serving = asyncio.create_task(head_end.run_timers())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    serving_failed = serving.done()
    serving.cancel()
    stopping.cancel()
    await asyncio.gather(serving, stopping, return_exceptions=True)
    if serving_failed:
        serving.result()
    await head_end.stop()


def main() -> int:
    """0 after SIGTERM or Ctrl-C, 2 for a fault of the surroundings, with a message that says what to do."""
    try:
        settings = HeadEndSettings()  # type: ignore[call-arg]  # the fields come from the environment
    except ValidationError as error:
        sys.stderr.writelines(f"headend: {fault}\n" for fault in faults_of_environment(error))
        return 2
    log.configure(settings.log_level, settings.log_format)
    try:
        uvloop.run(_serve(settings))
    except HeadEndError as error:
        sys.stderr.write(f"headend: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
