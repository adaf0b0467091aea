"""Grid steps a second, beside pandapower's own power flow on the same net and loads (`python -m bench grid`)."""

import copy
import time
from collections.abc import Callable

import numpy as np
import pandapower as pp

from bench.report import Result, Spread
from grid.demand import Demand
from grid.feeder import load_feeder
from grid.simulation import GridSimulation

START_S = 1_768_435_200
STEP_S = 900
SEED = 7


def measure(feeder_name: str = "schutterwald", *, rounds: int = 5, steps: int = 20) -> Result:
    """Rounds of `steps` simulated quarter-hours each: the grid, then bare `runpp`, then `runpp` with `recycle`."""
    feeder = load_feeder(feeder_name)
    demand = Demand.draw(feeder, seed=SEED)
    simulation = GridSimulation(feeder, demand, start_s=START_S)
    simulation.advance(START_S)
    net = copy.deepcopy(feeder.net)
    now_s = START_S

    def load_net(at_s: int) -> None:
        active_w, reactive_var = demand.at(at_s)
        net.load.loc[feeder.load_index, "p_mw"] = np.asarray(active_w) / 1e6
        net.load.loc[feeder.load_index, "q_mvar"] = np.asarray(reactive_var) / 1e6

    def rate(step: Callable[[int], object]) -> float:
        began = time.perf_counter()
        for number in range(1, steps + 1):
            step(now_s + number * STEP_S)
        return steps / (time.perf_counter() - began)

    def bare(at_s: int) -> None:
        load_net(at_s)
        pp.runpp(net, numba=False)

    def recycled(at_s: int) -> None:
        load_net(at_s)
        pp.runpp(net, numba=False, recycle={"bus_pq": True, "trafo": False, "gen": False})

    ours, theirs, with_recycle = [], [], []
    pp.runpp(net, numba=False)
    for _ in range(rounds):
        ours.append(rate(simulation.advance))
        theirs.append(rate(bare))
        with_recycle.append(rate(recycled))
        now_s += steps * STEP_S
    return Result(
        f"grid ({feeder.name}, {len(feeder.usage_points):,} usage points)",
        {
            "grid steps, truth recorded": Spread.of(ours),
            "bare pandapower.runpp": Spread.of(theirs),
            "pandapower.runpp with recycle (stale after switching)": Spread.of(with_recycle),
            "grid / bare runpp": Spread.of([a / b for a, b in zip(ours, theirs, strict=True)]),
            "grid / runpp with recycle": Spread.of([a / b for a, b in zip(ours, with_recycle, strict=True)]),
        },
        {
            "grid steps, truth recorded": "steps/s",
            "bare pandapower.runpp": "steps/s",
            "pandapower.runpp with recycle (stale after switching)": "steps/s",
            "grid / bare runpp": "",
            "grid / runpp with recycle": "",
        },
    )
