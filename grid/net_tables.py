"""The tables of a pandapower net that amilab reads: their columns, and cells of one type whatever the file wrote.

Nets are written by many programs. A flag may be 0 or 1, a whole number a float; a column may be missing for which
pandapower's own `create_…` functions have a default. Here that becomes what pandapower and the rest of `grid` expect.
What cannot be read becomes a mark that `grid.feeder_faults` names with its row: no flag is guessed, no number invented.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Kind = Literal["flag", "number", "amount", "whole", "text"]
"""`amount`: a number or nothing. `whole`: an index or a count."""

NEEDED = object()
"""In place of a default: without this column the table cannot be read."""
ABSENT = object()
"""In place of a default: the table is as good without this column, which is not added to it."""
UNREADABLE = np.inf
"""What a number or an amount becomes whose cell is no number; a `whole` one becomes −1."""
LARGEST_INDEX = 10_000_000
"""pandapower keeps arrays as long as the largest index."""


@dataclass(frozen=True, slots=True)
class Column:
    kind: Kind
    default: object = NEEDED


_FLAG_ON, _FLAG_OFF = Column("flag", True), Column("flag", False)
_TEXT, _AMOUNT, _IF_THERE = Column("text", None), Column("amount", None), Column("amount", ABSENT)
_NUMBER, _WHOLE = Column("number"), Column("whole")
_ZERO, _ONE, _HUNDRED = Column("number", 0.0), Column("number", 1.0), Column("number", 100.0)
_COUNT = Column("whole", 1)

_POWER = {
    "name": _TEXT,
    "bus": _WHOLE,
    "p_mw": _NUMBER,
    "q_mvar": _ZERO,
    "scaling": _ONE,
    "in_service": _FLAG_ON,
    "type": _TEXT,
    "profile": _TEXT,
}
_BRANCH = {"name": _TEXT, "parallel": _COUNT, "df": _ONE, "in_service": _FLAG_ON}
TABLES: dict[str, dict[str, Column]] = {
    "bus": {"name": _TEXT, "vn_kv": _NUMBER, "in_service": _FLAG_ON},
    "load": _POWER,
    "sgen": _POWER,
    "storage": _POWER,
    "ext_grid": {
        "name": _TEXT,
        "bus": _WHOLE,
        "vm_pu": _ONE,
        "va_degree": _ZERO,
        "slack_weight": _ONE,
        "in_service": _FLAG_ON,
    },
    "line": {
        **_BRANCH,
        "from_bus": _WHOLE,
        "to_bus": _WHOLE,
        "length_km": _NUMBER,
        "r_ohm_per_km": _NUMBER,
        "x_ohm_per_km": _NUMBER,
        "c_nf_per_km": _ZERO,
        "g_us_per_km": _ZERO,
        "max_i_ka": _AMOUNT,
        **dict.fromkeys(("r0_ohm_per_km", "x0_ohm_per_km", "c0_nf_per_km"), _IF_THERE),
    },
    "trafo": {
        **_BRANCH,
        "hv_bus": _WHOLE,
        "lv_bus": _WHOLE,
        "sn_mva": _NUMBER,
        "vn_hv_kv": _NUMBER,
        "vn_lv_kv": _NUMBER,
        "vk_percent": _NUMBER,
        "vkr_percent": _NUMBER,
        "pfe_kw": _ZERO,
        "i0_percent": _ZERO,
        "shift_degree": _ZERO,
        **dict.fromkeys(("tap_neutral", "tap_min", "tap_max", "tap_pos", "tap_step_percent"), _AMOUNT),
        "tap_step_degree": _AMOUNT,
        "tap_side": _TEXT,
        "tap_changer_type": _TEXT,
        "tap_dependency_table": _FLAG_OFF,
        **{f"tap2_{name}": _IF_THERE for name in ("neutral", "min", "max", "pos", "step_percent", "step_degree")},
        "tap2_side": Column("text", ABSENT),
        "tap2_changer_type": Column("text", ABSENT),
        "vector_group": Column("text", ABSENT),
        **dict.fromkeys(("vk0_percent", "vkr0_percent", "mag0_percent"), _IF_THERE),
        "leakage_resistance_ratio_hv": _IF_THERE,
        "leakage_reactance_ratio_hv": _IF_THERE,
    },
    "switch": {
        "name": _TEXT,
        "bus": _WHOLE,
        "element": _WHOLE,
        "et": Column("text"),
        "closed": _FLAG_ON,
        "type": _TEXT,
        "z_ohm": _ZERO,
        "in_ka": _IF_THERE,
    },
    "shunt": {
        "name": _TEXT,
        "bus": _WHOLE,
        "p_mw": _ZERO,
        "q_mvar": _NUMBER,
        "vn_kv": _NUMBER,
        "step": _COUNT,
        "in_service": _FLAG_ON,
        "step_dependency_table": _FLAG_OFF,
        "id_characteristic_table": _AMOUNT,
    },
    "motor": {
        "name": _TEXT,
        "bus": _WHOLE,
        "pn_mech_mw": _NUMBER,
        "cos_phi": _NUMBER,
        "loading_percent": _HUNDRED,
        "efficiency_percent": _HUNDRED,
        "scaling": _ONE,
        "in_service": _FLAG_ON,
    },
}
UNSUPPORTED = (
    *("trafo3w", "impedance", "dcline", "gen", "ward", "xward", "asymmetric_load", "asymmetric_sgen"),
    *("svc", "ssc", "tcsc", "bus_dc", "line_dc", "load_dc", "source_dc", "vsc", "b2b_vsc"),
)
"""Tables of elements that no feeder of amilab can have in service."""
_OUT_OF_SERVICE = {"in_service": _FLAG_ON}
_KEPT = ("geo", "id_characteristic_table")


def read_tables(net: Any, *, fill: bool = True) -> list[str]:
    """Give the cells of `net`, in place, the types of `TABLES`; faults of whole tables and of flags.

    :param fill: also add columns that are missing and have a default.
    """
    faults = [f"has no table {table!r}" for table in TABLES if not isinstance(net.get(table), pd.DataFrame)]
    for table in (*TABLES, *UNSUPPORTED):
        if not isinstance(net.get(table), pd.DataFrame):
            continue
        frame, found = _read_table(table, net[table], TABLES.get(table, _OUT_OF_SERVICE), fill=fill)
        net[table] = frame
        faults += found
    for name in ("f_hz", "sn_mva"):
        value = _as_number(net.get(name))
        if not 0.0 < value < UNREADABLE:
            faults.append(f"{name} is {str(net.get(name))[:40]!r}, which is no positive number")
    return faults


def drop_the_rest(net: Any) -> None:
    """Take away, in place, the columns of the tables that are not read: they may hold anything."""
    for table, columns in TABLES.items():
        net[table] = net[table][[name for name in net[table] if name in columns or name in _KEPT]]


def rows(frame: Any, mask: Any, *, shown: int = 10) -> str:
    """The rows of a mask as a message names them: `3 'L3', 7`."""
    chosen = frame[np.asarray(mask, dtype=bool)]
    names = chosen["name"] if "name" in chosen else [None] * len(chosen)
    items = [
        f"{index} {name[:40]!r}" if isinstance(name, str) and name else f"{index}"
        for index, name in zip(chosen.index[:shown], names, strict=False)
    ]
    return ", ".join(items) + (f" and {len(chosen) - shown} more" if len(chosen) > shown else "")


def _read_table(table: str, frame: Any, columns: dict[str, Column], *, fill: bool) -> tuple[Any, list[str]]:
    twice = sorted({str(name) for name in frame.columns[frame.columns.duplicated()]})
    if twice:
        once = frame.loc[:, ~frame.columns.duplicated()]
        return once.iloc[:0], [f"table {table!r} has more than once: {', '.join(twice)}"]
    index, fault = _read_index(table, frame.index)
    if fault:
        return frame.iloc[:0], [fault]
    frame = frame.set_axis(index, axis=0)
    faults = []
    for name, column in columns.items():
        if name not in frame:
            if fill and column.default not in (NEEDED, ABSENT):
                dtype = {"flag": bool, "whole": np.int64, "text": object}.get(column.kind, np.float64)
                frame[name] = pd.Series([column.default] * len(frame), index=frame.index, dtype=dtype)
            continue
        values, wrong = _READERS[column.kind](frame[name])
        if column.kind == "flag" and wrong.any():
            faults.append(f"{table} {rows(frame, wrong)}: {name} is neither true nor false (1 or 0)")
        frame[name] = pd.Series(values, index=frame.index)
    return frame, faults


def _read_index(table: str, index: Any) -> tuple[Any, str]:
    values, wrong = _whole(pd.Series(index))
    if wrong.any():
        shown = ", ".join(repr(str(label)[:40]) for label in index[wrong][:10])
        return index, f"table {table!r}: the index {shown} is no whole number"
    beyond = (values < 0) | (values > LARGEST_INDEX)
    if beyond.any():
        return index, f"table {table!r}: the index {values[beyond][0]} is not between 0 and {LARGEST_INDEX:,}"
    found = pd.Index(values, dtype=np.int64)
    if not found.is_unique:
        shown = ", ".join(map(str, found[found.duplicated()].unique()[:10]))
        return index, f"table {table!r}: the index {shown} occurs more than once"
    return found, ""


Read = tuple[Any, NDArray[np.bool_]]


def _flag(column: Any) -> Read:
    if column.dtype == np.bool_:
        return column.to_numpy(), np.zeros(len(column), dtype=bool)
    cells = column.tolist()
    wrong = np.array([not (isinstance(cell, int | float | np.bool_) and cell in (0, 1)) for cell in cells], dtype=bool)
    values = np.array([bad or bool(cell) for cell, bad in zip(cells, wrong, strict=True)], dtype=bool)
    return values, wrong


def _number(column: Any) -> Read:
    if column.dtype.kind in "iuf" and isinstance(column.dtype, np.dtype):
        values = column.to_numpy(dtype=np.float64)
    else:
        values = np.array([_as_number(cell) for cell in column.tolist()], dtype=np.float64)
    return values, np.isinf(values)


def _whole(column: Any) -> Read:
    if column.dtype.kind == "i" and isinstance(column.dtype, np.dtype):
        return column.to_numpy(dtype=np.int64), np.zeros(len(column), dtype=bool)
    values, _ = _number(column)
    wrong = ~((np.abs(values) < 2.0**53) & (values == np.floor(values)))
    return np.where(wrong, -1.0, values).astype(np.int64), wrong


def _text(column: Any) -> Read:
    cells = [cell if isinstance(cell, str) else None if _is_nothing(cell) else str(cell) for cell in column.tolist()]
    values = np.empty(len(cells), dtype=object)
    values[:] = cells
    return values, np.zeros(len(cells), dtype=bool)


_READERS: dict[Kind, Callable[[Any], Read]] = {
    "flag": _flag,
    "number": _number,
    "amount": _number,
    "whole": _whole,
    "text": _text,
}


def _is_nothing(cell: object) -> bool:
    return cell is None or cell is pd.NA or cell is pd.NaT or (isinstance(cell, float) and cell != cell)


def _as_number(cell: object) -> float:
    if _is_nothing(cell):
        return np.nan
    if isinstance(cell, bool | np.bool_) or not isinstance(cell, int | float | np.number):
        return UNREADABLE
    try:
        return float(cell)
    except (OverflowError, TypeError):
        return UNREADABLE
