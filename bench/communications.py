"""Whole labs with the communications network and without it, in turns (`python -m bench communications`).

Both live through the same scenario with the same seed. Each pair begins with the other of the two, so that whatever
else the machine does falls on both. One more lab has 11,536 meters, with the network.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.report import Interval, Result, Spread
from lab.processes.interpreter import python

BIG_FEEDER = "simbench:1-MVLV-urban-all-0-sw"
WITHOUT, WITH = "none", "radio"


@dataclass(frozen=True, slots=True)
class Lived:
    """One lab: simulated and wall-clock seconds from its first grant to its last.

    Processor time is that of all its processes, with set-up and verdict; memory the peak of the largest of them.
    """

    simulated_s: float
    wall_s: float
    processor_s: float
    memory_mib: float

    @property
    def speed(self) -> float:
        return self.simulated_s / self.wall_s


def measure(scenario: str = "quickstart", *, pairs: int = 4, big: Sequence[str] = ("--feeder", BIG_FEEDER)) -> Result:
    """:param pairs: at least two, for an interval.
    :param big: what the lab with many meters is told besides the scenario.

    Raises RuntimeError: a lab did not pass all its criteria; whatever it saved may be what it did not do.
    """
    lived: dict[str, list[Lived]] = {WITHOUT: [], WITH: []}
    for number in range(pairs):
        for network in (WITHOUT, WITH) if number % 2 == 0 else (WITH, WITHOUT):
            lived[network].append(live(scenario, "--network", network))
    many = live(scenario, "--network", WITH, *big)
    without, with_ = lived[WITHOUT], lived[WITH]
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    figures = {
        "without the network, first to last grant": Spread.of([each.wall_s for each in without]),
        "with it": Spread.of([each.wall_s for each in with_]),
        "without it, processor": Spread.of([each.processor_s for each in without]),
        "with it, processor": Spread.of([each.processor_s for each in with_]),
        "many meters with it, processor": Spread.of([many.processor_s]),
        "many meters with it, largest process": Spread.of([many.memory_mib]),
        "many meters with it, simulated / wall": Spread.of([many.speed]),
    }
    ratios = {
        "speed with / without": Interval.of([b.speed / a.speed for a, b in zip(without, with_, strict=True)]),
        "processor time without / with": Interval.of(
            [a.processor_s / b.processor_s for a, b in zip(without, with_, strict=True)]
        ),
    }
    units = dict.fromkeys(figures, "s")
    units |= {"many meters with it, largest process": "MiB", "many meters with it, simulated / wall": ""}
    return Result(f"communications ({scenario}, {pairs} pairs; load average {load})", figures, units, ratios)


def live(scenario: str, *options: str) -> Lived:
    """One lab, from its set-up to its verdict. Raises RuntimeError if it did not pass all its criteria."""
    with tempfile.TemporaryDirectory(prefix="amilab-bench-") as out:
        command = python("-m", "lab.commands.main", "run", scenario, "--out", out, *options)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        # Of the lab, and of all whom it has waited for: the resources of a process that is still there are not in it.
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
        clock = json.loads((Path(out) / "latest" / "verdict.json").read_text(encoding="utf-8"))["clock"]
    return Lived(clock["simulated_s"], clock["wall_s"], used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
