"""Is what is stored what the meter recorded? Channel by channel, at the register's resolution."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lab.verdict.discrepancies import Finding, finding_at
from lab.verdict.keys import Int, find, micros, numbers
from lab.verdict.sides import Side, is_actual
from lab.verdict.tables import (
    CURRENTS,
    MAX_DEMAND,
    MAX_DEMAND_AT,
    PHASE_ENERGIES,
    PHASE_POWERS,
    POWER_FACTORS,
    POWERS_BY_WAY,
    QUADRANTS,
    REACTIVE_REGISTERS,
    REACTIVE_TOTALS,
    REGISTERS,
    VOLTAGES,
    RunTables,
)

VOLTAGE_RESOLUTION_V = 0.1
FINE_RESOLUTION = 0.001
"""Of currents [A] and power factors."""
ENERGY_CHANNELS = ("import_wh", "export_wh", *PHASE_ENERGIES.split(), *REGISTERS.split())
REACTIVE_CHANNELS = (*QUADRANTS.split(), *REACTIVE_REGISTERS.split())
CORE_CHANNELS = (*ENERGY_CHANNELS, "active_power_w", *VOLTAGES.split(), "status")
"""Those of every journal; the others came later."""
CHANNELS = (
    *CORE_CHANNELS,
    *REACTIVE_CHANNELS,
    *PHASE_POWERS.split(),
    *CURRENTS.split(),
    *POWER_FACTORS.split(),
    MAX_DEMAND,
    MAX_DEMAND_AT,
    *POWERS_BY_WAY.split(),
    *REACTIVE_TOTALS.split(),
)


def altered_rows(
    tables: RunTables,
    stored: Side,
    journal_keys: Int,
    journal_rows: Int,
    step_wh: NDArray[np.float64],
    polled: NDArray[np.bool_],
) -> tuple[int, list[Finding]]:
    """Actual stored rows against the journal: the count, and findings of those that differ and those made up.

    Without those of `polled` usage points (by code), see lab/verdict/registers.py.
    """
    actual = np.flatnonzero(is_actual(tables.stored) & ~polled[stored.points])
    at = find(journal_keys, stored.keys[actual])
    made_up, rows, counterpart = actual[at < 0], actual[at >= 0], journal_rows[at[at >= 0]]
    differing_in = np.full(len(rows), -1)
    ours, theirs = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    for code, name in enumerate(CHANNELS):
        if name not in tables.stored.column_names or not _is_in(tables.journal, name):
            continue
        journal_values = channel(tables.journal, name)[counterpart]
        stored_values = channel(tables.stored, name)[rows]
        differs = ~_same(journal_values, stored_values, resolution(name, step_wh[stored.points[rows]]))
        news = differs & (differing_in < 0)
        differing_in[news], ours[news], theirs[news] = code, journal_values[news], stored_values[news]
    hit = differing_in >= 0
    differing = finding_at(
        stored,
        "altered",
        rows[hit],
        journal=ours[hit],
        stored=theirs[hit],
        by=np.abs(theirs - ours)[hit],
        channels=differing_in[hit],
    )
    fabricated = finding_at(stored, "fabricated", made_up, stored=numbers(tables.stored["import_wh"])[made_up])
    return int(hit.sum()) + len(made_up), [differing, fabricated]


def _is_in(journal: pa.Table, name: str) -> bool:
    return name in journal.column_names or name in POWERS_BY_WAY.split()


def channel(table: pa.Table, name: str) -> NDArray[np.float64]:
    """The values (n,) of a channel, an instant in epoch seconds; NaN for null."""
    if name in POWERS_BY_WAY.split() and name not in table.column_names:
        return by_way(name, numbers(table["active_power_w"]))
    if name != MAX_DEMAND_AT:
        return numbers(table[name])
    times_us = micros(table[name])
    return np.where(times_us == np.iinfo(np.int64).min, np.nan, times_us / 1e6)


def by_way(name: str, net_w: NDArray[np.float64]) -> NDArray[np.float64]:
    """One of POWERS_BY_WAY, of net powers (n,)."""
    return np.maximum(net_w if name.startswith("import") else -net_w, 0.0)


def resolution(name: str, step_wh: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values of a channel that differ by half of this (m,) are not the same; `step_wh` (m,) of the register."""
    if name.endswith(("_wh", "_varh")):
        return step_wh
    if name.startswith(("current", "power_factor")):
        return np.full(len(step_wh), FINE_RESOLUTION)
    return np.full(len(step_wh), VOLTAGE_RESOLUTION_V if name.startswith("voltage") else 1.0)


def _same(ours: NDArray[np.float64], theirs: NDArray[np.float64], resolution: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Equal at the resolution; a value that only one side has is different."""
    return (np.abs(theirs - ours) * 2 < resolution) | (np.isnan(ours) & np.isnan(theirs))
