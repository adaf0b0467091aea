"""Meters behind instrument transformers are judged at their terminals: by what they count.

Truth is of the primary, and so is what is stored: energies, powers and voltages. The journal has the secondary, and so
have registers, wherever they are. Truth and stored are brought to the secondary by the ratios that the lab gave out,
so a head-end that applies another multiplier, or none, or one twice, has altered what the meter recorded.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lab.verdict.keys import numbers
from lab.verdict.owners import owners
from lab.verdict.tables import RATIOS, RunTables

_POWER = ("_wh", "_w", "_varh", "_var")


def at_terminals(tables: RunTables) -> RunTables:
    """The tables in what each meter counts; the same ones where no meter is behind such transformers."""
    fleet = tables.fleet
    current, voltage = (_ratios(fleet, name) for name in RATIOS)
    if (current == 1.0).all() and (voltage == 1.0).all():
        return tables
    return replace(
        tables,
        truth=_divided(tables.truth, fleet, current, voltage),
        frames=_divided(tables.frames, fleet, current, voltage),
        stored=_divided(tables.stored, fleet, current, voltage),
    )


def _ratios(fleet: pa.Table, name: str) -> NDArray[np.float64]:
    return numbers(fleet[name]) if name in fleet.column_names else np.ones(len(fleet))


def _divided(table: pa.Table, fleet: pa.Table, current: NDArray[np.float64], voltage: NDArray[np.float64]) -> pa.Table:
    """`current` and `voltage` are of the rows of the fleet."""
    known = {point: code for code, point in enumerate(fleet["usage_point"].to_pylist())}
    points = owners(table, fleet, known).points
    metered = points < len(fleet)
    for name in table.column_names:
        if name.endswith(("_register_wh", "_register_varh")):
            continue
        ratio = current * voltage if name.endswith(_POWER) else voltage if name.endswith("_v") else current
        if not name.endswith((*_POWER, "_v", "_a")):
            continue
        values = numbers(table[name])
        values = values / np.where(metered, ratio[np.where(metered, points, 0)], 1.0)
        column = pa.array(values, table.schema.field(name).type, from_pandas=True)
        table = table.set_column(table.schema.get_field_index(name), name, column)
    return table
