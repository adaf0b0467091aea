"""What did not agree, as one table: a row for each finding, with the three sides' values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lab.verdict.keys import Int

# the order is that of severity: a reader of the first rows sees the worst
KINDS = (
    "unrecorded",
    "lost",
    "altered",
    "fabricated",
    "estimate_off",
    "duplicate",
    "class_violation",
    "late",
    "extra",
    "recorded_twice",
)

SCHEMA = pa.schema(
    [
        ("kind", pa.dictionary(pa.int32(), pa.string())),
        ("usage_point", pa.dictionary(pa.int32(), pa.string())),
        ("serial", pa.dictionary(pa.int32(), pa.string())),
        ("interval_start", pa.timestamp("us", tz="UTC")),
        ("interval_length_s", pa.int64()),
        # the column that differs; null where the whole interval is concerned
        ("channel", pa.dictionary(pa.int32(), pa.string())),
        ("truth", pa.float64()),
        ("journal", pa.float64()),
        ("stored", pa.float64()),
        # by how much: in the channel's unit; seconds for `late`, surplus rows for `duplicate`, Wh for `estimate_off`
        ("by", pa.float64()),
    ]
)


@dataclass(frozen=True, slots=True)
class Finding:
    """Rows (m,) of one kind. Values are those of `channel` (import_wh where the interval as a whole is concerned)."""

    kind: str
    points: Int
    starts_us: Int
    lengths_s: Int
    truth: NDArray[np.float64] | None = None
    journal: NDArray[np.float64] | None = None
    stored: NDArray[np.float64] | None = None
    by: NDArray[np.float64] | None = None
    channels: Int | None = None


class Rows(Protocol):
    """Where findings are made: one entry per row of a table."""

    @property
    def points(self) -> Int: ...
    @property
    def starts_us(self) -> Int: ...
    @property
    def lengths_s(self) -> Int: ...


def finding_at(
    rows: Rows,
    kind: str,
    picked: Int,
    *,
    truth: NDArray[np.float64] | None = None,
    journal: NDArray[np.float64] | None = None,
    stored: NDArray[np.float64] | None = None,
    by: NDArray[np.float64] | None = None,
    channels: Int | None = None,
) -> Finding:
    """A finding at the `picked` rows; the values are already those of the picked rows."""
    return Finding(
        kind,
        rows.points[picked],
        rows.starts_us[picked],
        rows.lengths_s[picked],
        truth,
        journal,
        stored,
        by,
        channels,
    )


def tabulate(
    findings: Sequence[Finding], usage_points: Sequence[str], serials: Sequence[str], channels: Sequence[str]
) -> pa.Table:
    """The findings as one table of `SCHEMA`, by kind, usage point and interval.

    Codes without a name are null: a channel of −1, the serial of a usage point that has no meter.
    """
    tables = []
    for finding in findings:
        count = len(finding.points)
        order = np.lexsort((finding.starts_us, finding.points))
        points = finding.points[order]
        channel = np.full(count, -1) if finding.channels is None else finding.channels[order]
        tables.append(
            pa.table(
                [
                    _texts(np.full(count, KINDS.index(finding.kind)), KINDS),
                    _texts(points, usage_points),
                    _texts(points, serials),
                    pa.array(finding.starts_us[order], pa.timestamp("us", tz="UTC")),
                    pa.array(finding.lengths_s[order], pa.int64()),
                    _texts(channel, channels),
                    *(_values(v, order) for v in (finding.truth, finding.journal, finding.stored, finding.by)),
                ],
                schema=SCHEMA,
            )
        )
    return pa.concat_tables(sorted(tables, key=_severity)) if tables else SCHEMA.empty_table()


def _severity(table: pa.Table) -> int:
    return KINDS.index(table["kind"][0].as_py()) if len(table) else len(KINDS)


def _texts(codes: Int, names: Sequence[str]) -> pa.Array:
    indices = pa.array(codes.astype(np.int32), mask=(codes < 0) | (codes >= len(names)))
    return pa.DictionaryArray.from_arrays(indices, pa.array(list(names), pa.string()))


def _values(values: NDArray[np.float64] | None, order: Int) -> pa.Array:
    if values is None:
        return pa.nulls(len(order), pa.float64())
    return pa.array(values[order], pa.float64(), from_pandas=True)
