"""Interval records made up by hypothesis, with what goes over a wire as its codes have it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from meters.device.records import IntervalRecord

wh = st.integers(0, 999_999_999)
signed = st.integers(-100_000, 100_000)


def _values(name: str) -> st.SearchStrategy[int] | st.SearchStrategy[float]:
    """What a field may hold, by its unit."""
    kinds: tuple[tuple[str, st.SearchStrategy[int] | st.SearchStrategy[float]], ...] = (
        ("allowed", st.just(0.0)),
        ("max_demand_import_w", st.integers(0, 999_999)),
        ("max_demand_at_s", st.integers(0, 4_000_000_000)),
        ("varh", wh),
        ("wh", wh),
        ("_w", signed),
        ("_var", signed),
        ("_permille", st.integers(-1000, 1000)),
        ("_dv", st.integers(0, 3000)),
        ("_ma", st.integers(0, 100_000)),
        ("status", st.integers(0, 15)),
    )
    return next((values for part, values in kinds if part in name), st.just(0))


@st.composite
def interval_records(draw: st.DrawFn, start_s: int = 0) -> IntervalRecord:
    drawn: dict[str, Any] = {name: draw(_values(name)) for name in IntervalRecord._fields}
    return IntervalRecord(**drawn | {"interval_start_s": start_s, "meter": 0})


def _largest(name: str) -> int:
    """The longest that a field may become on a wire."""
    longest = {"_permille": -1000, "_dv": 9999, "_ma": 999_999, "_w": -999_999_999, "_var": -999_999_999, "status": 15}
    longest = {"max_demand_import_w": 999_999_999} | longest | {"max_demand_at_s": 4_000_000_000, "wh": 999_999_999}
    longest["varh"] = 999_999_999
    return next((value for part, value in longest.items() if name.endswith(part)), 0)


LARGEST = IntervalRecord(**{name: _largest(name) for name in IntervalRecord._fields})


def coded(record: IntervalRecord) -> dict[str, float]:
    """By OBIS code C.D.E, as docs/wire-rl-dsp.md has them; 1.6.0.5 in epoch seconds."""
    row: dict[str, Any] = record._asdict()
    for phase in (1, 2, 3):
        row[f"voltage_l{phase}_v"] = row[f"voltage_l{phase}_dv"] / 10
        row[f"current_l{phase}_a"] = row[f"current_l{phase}_ma"] / 1000
        row[f"power_factor_l{phase}"] = row[f"power_factor_l{phase}_permille"] / 1000
    return coded_row(row)


def coded_row(row: Mapping[str, Any]) -> dict[str, float]:
    """The same of a row of the journal."""
    demand_at = row["max_demand_at_s"] if "max_demand_at_s" in row else int(row["max_demand_at"].timestamp())
    values: dict[str, float] = {"1.8.0": row["import_register_wh"], "2.8.0": row["export_register_wh"]}
    values |= {f"{4 + quadrant}.8.0": row[f"reactive_q{quadrant}_register_varh"] for quadrant in (1, 2, 3, 4)}
    values |= {"1.29.0": row["import_wh"], "2.29.0": row["export_wh"]}
    values |= {f"{20 * phase + 1}.29.0": row[f"import_l{phase}_wh"] for phase in (1, 2, 3)}
    values |= {f"{20 * phase + 2}.29.0": row[f"export_l{phase}_wh"] for phase in (1, 2, 3)}
    values |= {f"{4 + quadrant}.29.0": row[f"reactive_q{quadrant}_varh"] for quadrant in (1, 2, 3, 4)}
    nets = [(1, row["active_power_w"]), *((20 * phase + 1, row[f"active_power_l{phase}_w"]) for phase in (1, 2, 3))]
    nets += [(20 * phase + 3, row[f"reactive_power_l{phase}_var"]) for phase in (1, 2, 3)]
    for code, power in nets:
        values |= {f"{code}.7.0": max(power, 0), f"{code + 1}.7.0": max(-power, 0)}
    values |= {f"{20 * phase + 13}.7.0": row[f"power_factor_l{phase}"] for phase in (1, 2, 3)}
    values |= {f"{20 * phase + 12}.7.0": row[f"voltage_l{phase}_v"] for phase in (1, 2, 3)}
    values |= {f"{20 * phase + 11}.7.0": row[f"current_l{phase}_a"] for phase in (1, 2, 3)}
    values |= {"1.6.0": row["max_demand_import_w"], "1.6.0.5": demand_at}
    return values | {"96.10.1": row["status"]}
