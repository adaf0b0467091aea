"""A day's power flows and switchings with three phases, beside the same balanced (`python -m bench phases`)."""

import time
from collections.abc import Sequence

from bench.report import Result, Spread
from grid.demand import Demand
from grid.feeder import Device, Feeder, load_feeder
from grid.flow_kind import FlowKind
from grid.simulation import GridSimulation

START_S = 1_768_435_200
DAY_S, HOUR_S = 86_400, 3_600
SEED = 7


def measure(feeder_name: str = "schutterwald", *, rounds: int = 3) -> Result:
    """Rounds of a day in frames of 900 s, and of two hours in frames of 60 s: one flow, then the other.

    In each a device opens every two hours, and closes ten minutes later. Truth is recorded. What else the machine does
    has no say in processor time; the flows use one thread.
    """
    feeder = load_feeder(feeder_name)
    demand = Demand.draw(feeder, seed=SEED)
    devices = [*feeder.devices("transformer"), *feeder.devices("section")][:12]
    figures: dict[str, list[float]] = {}
    for _ in range(rounds):
        for step_s, until_s in ((900, DAY_S), (60, 2 * HOUR_S)):
            took_s = {
                flow: _lived_through(feeder, demand, flow, devices, step_s, until_s)
                for flow in ("balanced", "three-phase")
            }
            for flow, seconds in took_s.items():
                figures.setdefault(f"{flow}, frames of {step_s} s", []).append(1e3 * seconds * step_s / until_s)
            ratio = took_s["balanced"] / took_s["three-phase"]
            figures.setdefault(f"speed with three phases / balanced, frames of {step_s} s", []).append(ratio)
    return Result(
        f"phases ({feeder.name}, {len(feeder.usage_points):,} usage points)",
        {name: Spread.of(values) for name, values in figures.items()},
        {name: "" if name.startswith("speed") else "ms of processor a frame" for name in figures},
    )


def _lived_through(
    feeder: Feeder, demand: Demand, flow: FlowKind, devices: Sequence[Device], step_s: int, until_s: int
) -> float:
    """Seconds of processor time for simulated `until_s`, set-up not counted."""
    simulation = GridSimulation(feeder, demand, start_s=START_S, step_s=step_s, flow=flow)
    simulation.advance(START_S)
    switchings = {}
    for number, device in enumerate(devices):
        switchings[number * 2 * HOUR_S + 1_010] = (simulation.open, device)
        switchings[number * 2 * HOUR_S + 1_610] = (simulation.close, device)
    instants = sorted({*range(step_s, until_s + 1, step_s), *(at for at in switchings if at < until_s)})
    began = time.process_time()
    for at_s in instants:
        if at_s in switchings:
            switch, device = switchings[at_s]
            switch(device)
        simulation.advance(START_S + at_s)
    return time.process_time() - began
