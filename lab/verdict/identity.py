"""Is what is stored what the meter recorded? Channel by channel, at the register's resolution."""

import numpy as np
from numpy.typing import NDArray

from lab.verdict.discrepancies import Finding, finding_at
from lab.verdict.keys import Int, find, numbers
from lab.verdict.sides import Side, is_actual
from lab.verdict.tables import PHASE_ENERGIES, REGISTERS, VOLTAGES, RunTables

VOLTAGE_RESOLUTION_V = 0.1
ENERGY_CHANNELS = ("import_wh", "export_wh", *PHASE_ENERGIES.split(), *REGISTERS.split())
CHANNELS = (*ENERGY_CHANNELS, "active_power_w", *VOLTAGES.split(), "status")


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
    channel = np.full(len(rows), -1)
    ours, theirs = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    for code, name in enumerate(CHANNELS):
        if name not in tables.stored.column_names:
            continue
        journal_values = numbers(tables.journal[name])[counterpart]
        stored_values = numbers(tables.stored[name])[rows]
        differs = ~_same(journal_values, stored_values, resolution(name, step_wh[stored.points[rows]]))
        news = differs & (channel < 0)
        channel[news], ours[news], theirs[news] = code, journal_values[news], stored_values[news]
    hit = channel >= 0
    differing = finding_at(
        stored,
        "altered",
        rows[hit],
        journal=ours[hit],
        stored=theirs[hit],
        by=np.abs(theirs - ours)[hit],
        channels=channel[hit],
    )
    fabricated = finding_at(stored, "fabricated", made_up, stored=numbers(tables.stored["import_wh"])[made_up])
    return int(hit.sum()) + len(made_up), [differing, fabricated]


def resolution(channel: str, step_wh: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values of a channel that differ by half of this (m,) are not the same; `step_wh` (m,) of the register."""
    if channel in ENERGY_CHANNELS:
        return step_wh
    return np.full(len(step_wh), VOLTAGE_RESOLUTION_V if channel.startswith("voltage") else 1.0)


def _same(ours: NDArray[np.float64], theirs: NDArray[np.float64], resolution: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Equal at the resolution; a value that only one side has is different."""
    return (np.abs(theirs - ours) * 2 < resolution) | (np.isnan(ours) & np.isnan(theirs))
