"""Discrepancies for reading: how many of each kind, where they cluster, and the first of them with their values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lab.report.evidence import Evidence, Witness

SHOWN_AT_MOST = 200
CLUSTERS_SHOWN = 10
MEANING = {
    "unrecorded": "the meter had supply, but did not record the interval",
    "lost": "expected, but neither stored nor estimated",
    "altered": "stored as actual, but not what the meter recorded",
    "fabricated": "stored as actual, but never recorded by the meter",
    "estimate_off": "the estimates for missed polls do not sum to what the register moved",
    "duplicate": "more than one current row for the interval",
    "class_violation": "recorded energy outside the meter's accuracy class",
    "late": "committed after the interval's end + the reporting period + 300 s",
    "extra": "stored, but the meter had no supply or the interval does not exist",
    "recorded_twice": "the meter's journal has the interval more than once",
}


@dataclass(frozen=True, slots=True)
class Row:
    """Values are ready to be shown."""

    usage_point: str
    serial: str
    interval: str
    channel: str
    truth: str
    journal: str
    stored: str
    by: str
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Group:
    kind: str
    meaning: str
    count: int
    meters: int
    rows: tuple[Row, ...]

    @property
    def cut(self) -> int:
        return self.count - len(self.rows)


@dataclass(frozen=True, slots=True)
class Findings:
    total: int
    shown: int
    groups: tuple[Group, ...]
    by_meter: tuple[tuple[str, str, int], ...]
    by_interval: tuple[tuple[str, int], ...]


def _time(value: datetime) -> str:
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}"


def _value(value: float | None) -> str:
    return "–" if value is None else f"{value:,.10g}" if float(value).is_integer() else f"{value:,.2f}"


def _shares(counts: list[int], budget: int) -> list[int]:
    """How many rows of each kind fit in the budget: small kinds whole, large ones the same share each."""
    shares = [0] * len(counts)
    left = budget
    for place, index in enumerate(sorted(range(len(counts)), key=lambda i: counts[i])):
        shares[index] = min(counts[index], left // (len(counts) - place))
        left -= shares[index]
    return shares


def summarise(discrepancies: pa.Table, witness: Callable[[Sequence[str]], Witness]) -> Findings:
    """`witness`: who answers for the meters at these usage points, those of the findings that are shown."""
    kinds = discrepancies["kind"].cast(pa.string())
    found = set(pc.unique(kinds).to_pylist())
    present = [*(kind for kind in MEANING if kind in found), *sorted(found - set(MEANING))]
    tables = [discrepancies.filter(pc.equal(kinds, kind)) for kind in present]
    shares = _shares([len(table) for table in tables], SHOWN_AT_MOST)
    listed = [table.slice(0, share).to_pylist() for table, share in zip(tables, shares, strict=True)]
    answers = witness([row["usage_point"] for rows in listed for row in rows if row["usage_point"]])
    groups = tuple(
        Group(kind, MEANING.get(kind, ""), len(table), _distinct(table["usage_point"]), _rows(rows, answers))
        for kind, table, rows in zip(present, tables, listed, strict=True)
    )
    return Findings(
        total=len(discrepancies),
        shown=sum(shares),
        groups=groups,
        by_meter=tuple(
            (row["usage_point"] or "–", row["serial"] or "–", row["kind_count"])
            for row in _largest(discrepancies, ["usage_point", "serial"])
        ),
        by_interval=tuple(
            (_time(row["interval_start"]), row["kind_count"]) for row in _largest(discrepancies, ["interval_start"])
        ),
    )


def _distinct(column: pa.ChunkedArray) -> int:
    return len(pc.unique(column.cast(pa.string())))


def _largest(table: pa.Table, keys: list[str]) -> list[dict[str, Any]]:
    plain = pa.table(
        {n: table[n].cast(pa.string()) if pa.types.is_dictionary(table[n].type) else table[n] for n in [*keys, "kind"]}
    )
    counted = plain.group_by(keys).aggregate([("kind", "count")])
    ordered = counted.sort_by([("kind_count", "descending"), *((key, "ascending") for key in keys)])
    rows: list[dict[str, Any]] = ordered.slice(0, CLUSTERS_SHOWN).to_pylist()
    return rows


def _rows(rows: list[dict[str, Any]], witness: Witness) -> tuple[Row, ...]:
    return tuple(
        Row(
            usage_point=row["usage_point"] or "–",
            serial=row["serial"] or "–",
            interval=_time(row["interval_start"]),
            channel=row["channel"] or "import_wh",
            truth=_value(row["truth"]),
            journal=_value(row["journal"]),
            stored=_value(row["stored"]),
            by=_by(row["kind"], row["by"]),
            evidence=witness.of(row),
        )
        for row in rows
    )


def _by(kind: str, by: float | None) -> str:
    if by is None:
        return "never committed" if kind == "late" else ""
    if kind == "late":
        return f"{by:,.0f} s late"
    if kind == "duplicate":
        return f"{by:.0f} row{'s' if by > 1 else ''} too many"
    return f"by {_value(by)}"
