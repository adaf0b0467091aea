"""Published 15-minute profiles of load and photovoltaic infeed.

Source: SimBench, the dataset `1-complete_data-mixed-all-1-sw` (S. Meinecke et al., "SimBench—A Benchmark Dataset of
Electric Power Systems to Compare Innovative Solutions Based on Power Flow Analysis", Energies 2020, 13(12), 3290,
https://doi.org/10.3390/en13123290), licensed ODbL 1.0, read from the installed `simbench` wheel. The package itself is
not imported: that takes seconds, and only its CSV files are wanted.

What a net's own `profile` column names is read from the dataset of the net's own scenario.

The files hold the leap year 2016 in steps of 15 minutes, relative to the peak. Their time column is local (CET/CEST:
02:00–03:00 is missing on 27 March and doubled on 30 October), so the rows are equidistant. What instant a row is, is
another matter for businesses, households and the sun: `grid.calendar`.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from grid.calendar import ROWS, STEP_S, RowClock
from grid.compact_profiles import TIME, compacted, read_compacted, read_text
from grid.elements import ProfileKind

HOURS = ROWS * STEP_S / 3600
"""Length of the profile year."""

_DATASET = "1-complete_data-mixed-all-{}-sw"
DEFAULT_SCENARIO = 1
"""Of SimBench's scenarios (0 today, 1 and 2 the future) one with heat pumps."""
_FILES: dict[ProfileKind, str] = {
    "load": "LoadProfile.csv",
    "renewable": "RESProfile.csv",
    "storage": "StorageProfile.csv",
}
_WITHOUT_STORAGE = 0
"""The scenario whose dataset has no storages."""
_FIRST_ROW_TIME = "01.01.2016 00:00"

HOUSEHOLDS = ("H0-A", "H0-B", "H0-C", "H0-G", "H0-L")
BUSINESSES = ("G1-A", "G1-B", "G1-C", "G2-A", "G3-A", "G4-A", "G4-B", "G5-A", "G6-A", "L1-A", "L2-A")
"""Trade (G) and farms (L), those that the dataset connects at low voltage."""
HEAT_PUMPS = (
    *("Air_Alternative_1", "Air_Parallel_1", "Air_Semi-Parallel_1", "Soil_Alternative_1"),
    *("Air_Alternative_2", "Air_Parallel_2", "Air_Semi-Parallel_2", "Soil_Alternative_2"),
)
PHOTOVOLTAICS = ("PV1", "PV2", "PV3", "PV4", "PV5", "PV6", "PV7", "PV8")

REACTIVE_RATIO = 0.4
"""Peak reactive over peak active power of low-voltage loads: `qLoad`/`pLoad` in the dataset's Load.csv (0.39–0.41)."""


class ProfileError(RuntimeError):
    """The published profiles are not there or not what they are known to be."""


@dataclass(frozen=True, slots=True, eq=False)
class ProfileSet:
    """Curves of one kind. `active` and `reactive` are (rows, curves), each relative to its own peak."""

    names: tuple[str, ...]
    active: NDArray[np.float64]
    reactive: NDArray[np.float64]

    @property
    def mean(self) -> NDArray[np.float64]:
        """(curves,) mean of `active` over the year."""
        return np.asarray(self.active.mean(axis=0))


@dataclass(frozen=True, slots=True, eq=False)
class Profiles:
    """The curves that demand is made of."""

    households: ProfileSet
    businesses: ProfileSet
    heat_pumps: ProfileSet
    photovoltaics: ProfileSet
    """Per kWp installed; the reactive part is zero."""


def row_clock(kind: ProfileKind, name: str) -> RowClock:
    """What the rows of a published curve count. Storages are charged from the sun, in its rows."""
    if kind != "load":
        return RowClock.SUN
    return RowClock.WALL if name in HOUSEHOLDS or name in HEAT_PUMPS else RowClock.STANDARD


@functools.cache
def load_profiles() -> Profiles:
    """Read the installed dataset (about 0.5 s, then kept). Raises ProfileError."""
    directory = _dataset_directory(DEFAULT_SCENARIO)
    loads = (*HOUSEHOLDS, *BUSINESSES, *HEAT_PUMPS)
    columns = [f"{name}_{kind}" for name in loads for kind in ("pload", "qload")]
    load = _read(directory / _FILES["load"], columns)
    renewable = _read(directory / _FILES["renewable"], list(PHOTOVOLTAICS))

    def take(names: tuple[str, ...]) -> ProfileSet:
        return ProfileSet(
            names, _stack(load, [f"{n}_pload" for n in names]), _stack(load, [f"{n}_qload" for n in names])
        )

    active = _stack(renewable, list(PHOTOVOLTAICS))
    return Profiles(
        take(HOUSEHOLDS), take(BUSINESSES), take(HEAT_PUMPS), ProfileSet(PHOTOVOLTAICS, active, np.zeros_like(active))
    )


def known_profiles(kind: ProfileKind, *, scenario: int = DEFAULT_SCENARIO) -> frozenset[str]:
    """The names of the published curves of a kind. Raises ProfileError."""
    if kind == "storage" and scenario == _WITHOUT_STORAGE:
        return frozenset()
    path = _dataset_directory(scenario) / _FILES[kind]
    try:
        with path.open(encoding="utf-8") as file:
            columns = file.readline().rstrip().split(";")
    except OSError as error:
        raise ProfileError(f"cannot read the load profiles from {path}: {error}; reinstall simbench") from error
    if kind != "load":
        return frozenset(columns) - {"time"}
    return frozenset(column.removesuffix("_pload") for column in columns if column.endswith("_pload"))


def named_profiles(kind: ProfileKind, names: Sequence[str], *, scenario: int = DEFAULT_SCENARIO) -> ProfileSet:
    """Curves by their published names, in this order. Where it is no load's, the reactive part follows the active one.

    Raises ProfileError, for a name that is none of `known_profiles`, too.
    """
    path = _dataset_directory(scenario) / _FILES[kind]
    active = [f"{name}_pload" for name in names] if kind == "load" else list(names)
    reactive = [f"{name}_qload" for name in names] if kind == "load" else active
    if not names:
        return ProfileSet((), np.empty((ROWS, 0)), np.empty((ROWS, 0)))
    table = _read(path, list(dict.fromkeys([*active, *reactive])))
    return ProfileSet(tuple(names), _stack(table, active), _stack(table, reactive))


def _dataset_directory(scenario: int) -> Path:
    spec = importlib.util.find_spec("simbench")
    if spec is None or not spec.submodule_search_locations:
        raise ProfileError("the package simbench, which carries the load profiles, is missing: pip install simbench")
    return Path(spec.submodule_search_locations[0]) / "networks" / _DATASET.format(scenario)


def _read(path: Path, columns: list[str]) -> pa.Table:
    try:
        if compacted(path).exists():
            # Whole as it was made.
            return read_compacted(path, columns)
        table = read_text(path, [TIME, *columns])
    except (OSError, pa.ArrowException) as error:
        raise ProfileError(f"cannot read the load profiles from {path}: {error}; reinstall simbench") from error
    if table.num_rows != ROWS or table[TIME][0].as_py() != _FIRST_ROW_TIME:
        raise ProfileError(
            f"{path} has {table.num_rows} rows from {table[TIME][0]}; expected {ROWS} from {_FIRST_ROW_TIME}"
        )
    return table


def _stack(table: pa.Table, columns: list[str]) -> NDArray[np.float64]:
    values = np.column_stack([table[column].to_numpy() for column in columns])
    values.setflags(write=False)
    return values
