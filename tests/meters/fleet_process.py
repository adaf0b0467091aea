"""A fleet in a process of its own, to be killed: grants on stdin as `<instant> <number of the frame, or ->`.

Arguments: memory file, port, group, number of meters, and `direct`, `collected` or `mesh` (through a communications
network). With KILLED in the environment it kills itself around the commit that keeps the outcome of a command: `before`
it, or `after` it and before the answer. With PHASE_LOST meter 1 has no L2 for two frames.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

from meters.device.memory import Memory  # noqa: E402  # needs the path above
from tests.meters.meter_yard import START_S, World, make_fleet, shipment, street, uneven_power_w  # noqa: E402  # needs the path above
from tests.meters.sparkplug_ear import collected_shipment  # noqa: E402  # the same

FRAMES = 19


def kill_around_outcome(moment: str) -> None:
    commit = Memory.commit

    def killed(memory: Memory, *arguments: Any, **named: Any) -> None:
        if named.get("outcome") is not None and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        commit(memory, *arguments, **named)
        if named.get("outcome") is not None:
            os.kill(os.getpid(), signal.SIGKILL)

    Memory.commit = killed  # type: ignore[method-assign,assignment]  # to be killed in it


async def main(memory: str, port: str, group: str, count: str, wire: str) -> None:
    world = World(uneven_power_w(int(count)))
    frames = []
    for number in range(FRAMES):
        # Powers change from frame to frame, and meter 3 is dark for two of them.
        power_w = uneven_power_w(int(count)) * (1 + number % 3)
        switched = {"m3": number not in (3, 4)}
        if os.environ.get("PHASE_LOST"):
            switched["m1_l2"] = number not in (2, 3)
        frames.append(world.frame(START_S + 900 * number, power_w=power_w, **switched))
    if wire == "mesh":
        entries = collected_shipment(int(count), group, each=int(count) // 2, profile="sparkplug-mesh")
    else:
        entries = {"direct": shipment, "collected": collected_shipment}[wire](int(count), group)
    fleet = make_fleet(entries, int(port), Path(memory), network=street(int(count)) if wire == "mesh" else None)
    await fleet.start()
    if moment := os.environ.get("KILLED"):
        kill_around_outcome(moment)
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        now_s, number = line.split()
        await fleet.advance(int(now_s), None if number == "-" else frames[int(number)])
        await fleet.settle()
        print("done", flush=True)
    fleet.export_journal(Path(memory).parent)
    fleet.export_deliveries(Path(memory).parent / "network")
    await fleet.stop()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
