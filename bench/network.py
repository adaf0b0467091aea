"""What the model of the communications network costs, and how many last gasps it delivers (`python -m bench network`).

A suburb with plots of 25 m. What else the machine does has no say in processor time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from bench.report import Result, Spread
from meters.device.draws import meter_keys
from meters.radio.backhaul import Backhaul
from meters.radio.cellular import Cells
from meters.radio.frames import Frames
from meters.radio.mesh import Mesh
from meters.radio.parameters import NetworkParameters, load_parameters
from meters.radio.passage import DeliveryClass, Passage
from meters.radio.plc import PowerLine

START_S = 1_768_435_200
DAY_S, INTERVAL_S = 86_400, 900
MESH_EVERY_S, LINE_EVERY_S = 14_400, 3_600
"""How often collectors and concentrators read blocks, as the vendor profiles have it."""
PLOT_M = 25.0
PER_COLLECTOR, SUBURB = 200, 1_000
INTERVAL_BYTES = 60
OUTAGES = (1, 10, 50, 100, 200)


def measure(sizes: Sequence[int] = (1_506, 11_536), *, rounds: int = 3, seeds: int = 8) -> Result:
    """A day of reads in each technology, as its vendor profile reports them; and gasps by the size of an outage."""
    parameters = load_parameters()
    figures: dict[str, list[float]] = {}
    for count in sizes:
        for _ in range(rounds):
            for name, day in (("mesh", _mesh), ("power line", _power_line), ("cellular", _cellular)):
                began = time.process_time()
                day(count, parameters)
                took_s = time.process_time() - began
                figures.setdefault(f"a day of {name}, {count:,} meters, processor", []).append(took_s)
    units = dict.fromkeys(figures, "s")
    for size, shares in _gasps(parameters, seeds).items():
        for where, values in zip(("all", "innermost quarter", "outermost quarter"), shares, strict=True):
            name = f"share of gasps of {size} dark among {SUBURB:,}, {where}"
            figures[name], units[name] = values, ""
    return Result("network", {name: Spread.of(values) for name, values in figures.items()}, units)


def _mesh(count: int, parameters: NetworkParameters) -> None:
    """And what follows it, from the collectors to the broker."""
    groups = _groups(count)
    backhaul = Backhaul(meter_keys(0, [f"COL{number}" for number in range(len(groups))]), parameters.backhaul)
    for number, (positions_m, keys) in enumerate(groups):
        mesh = Mesh(positions_m, positions_m.mean(axis=0), keys, parameters.mesh)

        def send(frames: Frames, mesh: Mesh = mesh, number: int = number) -> None:
            passage = mesh.up(frames)
            arrives_s = np.sort(passage.arrives_s[passage.arrives])
            backhaul.up(Frames.of(np.full(len(arrives_s), number), arrives_s, DeliveryClass.READ, START_S))

        _live_through(len(keys), send, MESH_EVERY_S)


def _power_line(count: int, parameters: NetworkParameters) -> None:
    for positions_m, keys in _groups(count):
        line = PowerLine(positions_m, positions_m.mean(axis=0), keys, parameters.plc, start_s=START_S)
        _live_through(len(keys), line.up, LINE_EVERY_S)


def _cellular(count: int, parameters: NetworkParameters) -> None:
    cells = Cells(_plots(count, 0), _keys(count, 0), parameters.cellular)
    _live_through(count, cells.up, INTERVAL_S)


def _live_through(count: int, send: Callable[[Frames], Passage | None], every_s: int) -> None:
    """Each report of a meter is a frame with all its intervals."""
    size_bytes = every_s // INTERVAL_S * INTERVAL_BYTES
    for at_s in range(START_S, START_S + DAY_S, every_s):
        send(Frames.of(np.arange(count), at_s, DeliveryClass.READ, at_s, size_bytes))


def _gasps(parameters: NetworkParameters, seeds: int) -> dict[int, list[list[float]]]:
    """By the size of an outage: shares that are delivered of all, of its innermost and its outermost quarter."""
    delivered: dict[int, list[list[float]]] = {size: [[], [], []] for size in OUTAGES}
    for seed in range(seeds):
        positions_m = _plots(SUBURB, seed)
        mesh = Mesh(positions_m, np.zeros(2), _keys(SUBURB, seed), parameters.mesh)
        for size in OUTAGES:
            runs = [
                _outage(mesh, positions_m, size, np.random.default_rng([seed, run])) for run in range(100 // size + 2)
            ]
            quarter = max(size // 4, 1)
            for values, part in zip(delivered[size], (np.s_[:], np.s_[:quarter], np.s_[-quarter:]), strict=True):
                values.append(float(np.mean([heard[part].mean() for heard in runs])))
    return delivered


def _outage(
    mesh: Mesh, positions_m: NDArray[np.float64], size: int, generator: np.random.Generator
) -> NDArray[np.bool_]:
    """Whether each gasp arrives, the innermost first; the meters nearest to any lose supply."""
    centre = positions_m[generator.integers(len(positions_m))]
    dark = np.argsort(np.hypot(*(positions_m - centre).T))[:size]
    lit = np.ones(len(positions_m), dtype=bool)
    lit[dark] = False
    mesh.supply(lit)
    said_s = np.ceil(START_S + 45 + generator.uniform(0, 10, size))
    frames = Frames.of(dark, said_s, DeliveryClass.GASP, generator.integers(1 << 30))
    return mesh.up(frames, until_s=np.full(size, START_S + 90.0)).arrives


def _groups(count: int) -> list[tuple[NDArray[np.float64], NDArray[np.uint64]]]:
    """The meters of each collector."""
    parts = -(-count // PER_COLLECTOR)
    sizes = [len(part) for part in np.array_split(np.arange(count), parts)]
    return [(_plots(size, number), _keys(size, number)) for number, size in enumerate(sizes)]


def _plots(count: int, seed: int) -> NDArray[np.float64]:
    """(count, 2) houses, each somewhere on its plot; the middle is the origin."""
    side = int(np.ceil(np.sqrt(count)))
    corner = np.stack(np.divmod(np.arange(count), side), axis=1) - side / 2
    return PLOT_M * (corner + np.random.default_rng(seed).uniform(0.2, 0.8, (count, 2)))


def _keys(count: int, seed: int) -> NDArray[np.uint64]:
    return meter_keys(seed, [f"AMI{number:08d}" for number in range(count)])
