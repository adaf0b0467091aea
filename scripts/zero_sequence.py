#!/usr/bin/env python3
"""What the assumed zero-sequence data weigh: voltages of a feeder's phases with each of them halved and doubled.

    .venv/bin/python scripts/zero_sequence.py
    .venv/bin/python scripts/zero_sequence.py simbench:1-LV-semiurb4--0-sw --seed 8

A day, hour by hour. Compared are the voltages of all phases that usage points are connected to, with those of the table
`grid/phase_assumptions.toml`; and with a balanced flow. It prints a table in Markdown. What a net states itself stays.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from grid.demand import Demand
from grid.feeder import Feeder, FeederError, load_feeder
from grid.flow_kind import FlowKind
from grid.network import Network
from grid.phase_assumptions import PhaseAssumptions, phase_assumptions

START_S = 1_768_435_200
HOURS = 24
VARIED = ("line_r0_over_r1", "line_x0_over_x1", "transformer_z0_over_z1")


@dataclass(frozen=True)
class Effect:
    """Against the table's values: how much voltages differ, and the lowest one that there is, in volts."""

    name: str
    median_v: float
    p95_v: float
    largest_v: float
    lowest_v: float


def effects(feeder: Feeder, demand: Demand, hours: Sequence[int] = range(HOURS)) -> Iterator[Effect]:
    """The table's own values first, then each of `VARIED` halved and doubled, then the balanced flow."""
    assumed = phase_assumptions()
    reference = voltages(feeder, demand, hours, assumed)
    yield _effect("as in the table", reference, reference)
    for name in VARIED:
        for factor in (0.5, 2.0):
            value = getattr(assumed, name) * factor
            varied = voltages(feeder, demand, hours, replace(assumed, **{name: value}))
            yield _effect(f"{name} = {value:g}", varied, reference)
    yield _effect("balanced flow", voltages(feeder, demand, hours, assumed, "balanced"), reference)


def voltages(
    feeder: Feeder, demand: Demand, hours: Sequence[int], assumed: PhaseAssumptions, flow: FlowKind = "three-phase"
) -> NDArray[np.float64]:
    """In volts, of all connected phases of all usage points, one hour after the other."""
    network = Network(feeder, flow, assumed=assumed)
    share = demand.connected / demand.connected.sum(axis=1, keepdims=True)
    found = []
    for hour in hours:
        active_w, reactive_var = (power[:, np.newaxis] * share for power in demand.at(START_S + hour * 3600))
        solution = network.solve(active_w, reactive_var)
        volts = np.abs(solution.phase_voltage_pu) * feeder.nominal_voltage_v[:, np.newaxis]
        found.append(volts[demand.connected])
    return np.concatenate(found)


def _effect(name: str, volts: NDArray[np.float64], reference: NDArray[np.float64]) -> Effect:
    change = np.abs(volts - reference)
    median_v, p95_v, largest_v = np.quantile(change, (0.5, 0.95, 1.0)).tolist()
    return Effect(name, median_v, p95_v, largest_v, float(volts.min()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("feeder", nargs="?", default="schutterwald")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    try:
        feeder = load_feeder(options.feeder)
    except FeederError as error:
        print(error)
        return 2
    print("| | median V | 95 % V | largest V | lowest voltage V |\n|---|---|---|---|---|")
    for effect in effects(feeder, Demand.draw(feeder, seed=options.seed)):
        figures = (effect.median_v, effect.p95_v, effect.largest_v, effect.lowest_v)
        print(f"| {effect.name} | " + " | ".join(f"{figure:.2f}" for figure in figures) + " |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
