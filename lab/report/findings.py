"""Discrepancies for reading: grouped by kind, cause and vendor, and the first of each group with their evidence."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lab.report.clock import Clock
from lab.report.evidence import Evidence, Witness
from lab.report.meters import Meters
from lab.report.states import seconds
from lab.report.written import exact, significant

SHOWN_AT_MOST = 200
CLUSTERS_SHOWN = 10
NOBODY = "no meter of the fleet"
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
    """What one cause did to one vendor's meters. `first`, `last`: beginnings of intervals."""

    kind: str
    meaning: str
    cause: str
    vendor: str
    count: int
    meters: int
    first: str
    last: str
    rows: tuple[Row, ...]

    @property
    def cut(self) -> int:
        return self.count - len(self.rows)

    @property
    def title(self) -> str:
        return self.kind.replace("_", " ")


@dataclass(frozen=True, slots=True)
class Findings:
    """`group_of`: the index in `groups` of each discrepancy."""

    total: int
    shown: int
    group_of: tuple[int, ...]
    groups: tuple[Group, ...]
    by_meter: tuple[tuple[str, str, int], ...]
    by_interval: tuple[tuple[str, int], ...]

    def choices(self, name: str) -> list[str]:
        """What a group's `kind`, `cause` or `vendor` may be, in the order of the groups."""
        return list(dict.fromkeys(str(getattr(group, name)) for group in self.groups))


def value_text(value: float | None) -> str:
    """Of what was recorded or stored, and how far these are apart."""
    return "–" if value is None else exact(value)


def _shares(counts: list[int], budget: int) -> list[int]:
    """How many rows of each group fit in the budget: small groups whole, large ones the same share each."""
    shares = [0] * len(counts)
    left = budget
    for place, index in enumerate(sorted(range(len(counts)), key=lambda i: counts[i])):
        shares[index] = min(counts[index], left // (len(counts) - place))
        left -= shares[index]
    return shares


def vendors_of(discrepancies: pa.Table, meters: Meters) -> NDArray[np.object_]:
    """The vendor of each row's meter."""
    place = pc.index_in(discrepancies["usage_point"].cast(pa.string()), pa.array(meters.usage_points, pa.string()))
    names = np.array([*meters.vendors, NOBODY], dtype=object)
    return np.asarray(names[pc.fill_null(place, len(meters)).to_numpy()], dtype=object)


def summarise(
    discrepancies: pa.Table,
    causes: NDArray[np.object_],
    vendors: NDArray[np.object_],
    clock: Clock,
    witness: Callable[[Sequence[str]], Witness],
) -> Findings:
    """`causes`, `vendors`: of each row. `witness`: who answers for the meters at these usage points, those of the
    findings that are shown."""
    kinds = np.array(discrepancies["kind"].cast(pa.string()).to_pylist(), dtype=object)
    found = set(kinds.tolist())
    order = {kind: n for n, kind in enumerate([*MEANING, *sorted(found - set(MEANING))])}
    members: dict[tuple[str, str, str], list[int]] = {}
    for row, key in enumerate(zip(kinds.tolist(), causes.tolist(), vendors.tolist(), strict=True)):
        members.setdefault(key, []).append(row)
    # The worst kind first, then what happened most often.
    keys = sorted(members, key=lambda key: (order[key[0]], -len(members[key]), key[1:]))
    shares = _shares([len(members[key]) for key in keys], SHOWN_AT_MOST)
    listed = [discrepancies.take(members[key][:share]).to_pylist() for key, share in zip(keys, shares, strict=True)]
    answers = witness([row["usage_point"] for rows in listed for row in rows if row["usage_point"]])
    starts_s = seconds(discrepancies["interval_start"])
    groups = []
    for key, rows in zip(keys, listed, strict=True):
        kind, cause, vendor = key
        points = discrepancies["usage_point"].take(members[key]).cast(pa.string())
        times = starts_s[members[key]]
        groups.append(
            Group(
                kind,
                MEANING.get(kind, ""),
                cause,
                vendor,
                len(members[key]),
                len(pc.unique(points)),
                clock.date(float(times.min())),
                clock.date(float(times.max())),
                _rows(rows, answers, clock),
            )
        )
    group_of = np.zeros(len(discrepancies), dtype=np.int64)
    for number, key in enumerate(keys):
        group_of[members[key]] = number
    return Findings(
        total=len(discrepancies),
        shown=sum(shares),
        group_of=tuple(group_of.tolist()),
        groups=tuple(groups),
        by_meter=tuple(
            (row["usage_point"] or "–", row["serial"] or "–", row["kind_count"])
            for row in _largest(discrepancies, ["usage_point", "serial"])
        ),
        by_interval=tuple(
            (clock.date(row["interval_start"].timestamp()), row["kind_count"])
            for row in _largest(discrepancies, ["interval_start"])
        ),
    )


def _largest(table: pa.Table, keys: list[str]) -> list[dict[str, Any]]:
    plain = pa.table(
        {n: table[n].cast(pa.string()) if pa.types.is_dictionary(table[n].type) else table[n] for n in [*keys, "kind"]}
    )
    counted = plain.group_by(keys).aggregate([("kind", "count")])
    ordered = counted.sort_by([("kind_count", "descending"), *((key, "ascending") for key in keys)])
    rows: list[dict[str, Any]] = ordered.slice(0, CLUSTERS_SHOWN).to_pylist()
    return rows


def _rows(rows: list[dict[str, Any]], witness: Witness, clock: Clock) -> tuple[Row, ...]:
    return tuple(
        Row(
            usage_point=row["usage_point"] or "–",
            serial=row["serial"] or "–",
            interval=clock.date(row["interval_start"].timestamp()),
            channel=row["channel"] or "import_wh",
            truth="–" if row["truth"] is None else significant(row["truth"]),
            journal=value_text(row["journal"]),
            stored=value_text(row["stored"]),
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
    return f"by {value_text(by)}"
