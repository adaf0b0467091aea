"""A day of 1,506 usage points to look at: `python -m tests.lab.report.example OUT [--failing]` writes its report."""

import sys
from pathlib import Path

import numpy as np

from lab.report import RunEvent, write_report
from lab.verdict.judge_files import judge_run
from tests.lab.report import surroundings
from tests.lab.verdict.synthetic import START_S, STEP_S, Dark, Run, make_run

HOUR_S = 3600
EVENTS = (
    RunEvent(START_S + 6.25 * HOUR_S, "outage", "transformer T04 out, 112 customers", START_S + 8.25 * HOUR_S),
    RunEvent(START_S + 9.25 * HOUR_S, "kill", "head-end killed, back after 5 min", START_S + 9.25 * HOUR_S + 300),
    RunEvent(START_S + 10.5 * HOUR_S, "uplink_loss", "60 meters without uplink", START_S + 11.5 * HOUR_S),
    RunEvent(START_S + 11.125 * HOUR_S, "reboot", "AMI00000815 reboots"),
    RunEvent(START_S + 13.5 * HOUR_S, "kill", "broker killed, back after 3 min", START_S + 13.5 * HOUR_S + 180),
    RunEvent(START_S + 15 * HOUR_S, "outage", "section line 212, 25 customers", START_S + 15.75 * HOUR_S),
    RunEvent(START_S + 17 * HOUR_S, "outage", "momentary, 40 s", START_S + 17 * HOUR_S + 40),
)


def example_run(*, failing: bool = False, points: int = 1506) -> Run:
    intervals = 96
    run = make_run(points, intervals, darks=(Dark(300, 412, 25, 33), Dark(700, 725, 60, 63)))
    place = {n: i for i, n in enumerate(np.unique(run.stored["usage_point"]))}
    point = np.array([place[n] for n in run.stored["usage_point"]])
    interval = ((run.stored["interval_start"].astype(np.int64) // 1_000_000 - START_S) // STEP_S).astype(int)
    offline = (point >= 900) & (point < 960) & (interval >= 42) & (interval < 46)
    run.stored["committed_at"][offline] += np.timedelta64(3000, "s")
    run.stored["origin"][(interval == 54) & (point % 4 == 0)] = "recovered"
    if failing:
        run.stored["committed_at"][(interval >= 37) & (interval < 41)] += np.timedelta64(2, "h")
        run.stored["import_wh"][(point == 77) & (interval > 60)] += 3
        run.journal["import_wh"][(point == 78) & (interval < 3)] += 60
        run.stored["import_wh"][(point == 78) & (interval < 3)] += 60
        run.double("stored", np.flatnonzero((point == 79) & (interval == 12)))
        run.drop("stored", np.flatnonzero((interval == 70) & (point > 1200) & (point < 1460)))
    return run


def write_example(directory: Path, *, failing: bool = False) -> Path:
    run = example_run(failing=failing)
    run.fleet["vendor_profile"] = np.where(np.arange(run.points) < 1000, "rl-dsp", "sparkplug-mesh").astype(object)
    run.fleet["protocol"] = np.where(np.arange(run.points) < 1000, "mqtt", "sparkplug").astype(object)
    run_dir = run.write(directory)
    names = list(run.fleet["usage_point"])
    surroundings.write_geography(run_dir, names)
    silent = [(name, at, online) for name in names[900:960] for at, online in ((37_890.0, False), (41_410.0, True))]
    surroundings.write_communication(run_dir, silent)
    surroundings.write_latencies(run_dir)
    if failing:
        letter = (72 * STEP_S + 5.0, "dt/lab/AMI00000078/ds", "malformed", b'{"meter":{"ts":')
        surroundings.write_dead_letters(run_dir, [letter])
    verdict = judge_run(run_dir, run.context(scenario="quickstart", rejected_frames=1 if failing else 0))
    return write_report(run_dir, verdict, EVENTS)


if __name__ == "__main__":
    sys.stdout.write(f"{write_example(Path(sys.argv[1]), failing='--failing' in sys.argv)}\n")
