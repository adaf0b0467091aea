"""What a head-end says of outages, from its database or from a file: one row per outage and customer.

A table needs `outage` (a name), `usage_point`, `device` (its id in the network model, or null), `detected_at`,
`dark_from` and `dark_to` (null while it lasts). `gasp_received_at` and `restore_received_at` are shown as evidence
where they are; `phase` (`L1`, `L2`, `L3`) says which one of the device is open, null for all.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq

from lab.services.database_session import session
from lab.verdict.conform import conform
from lab.verdict.outages import MOMENTARY_AT_MOST_S
from lab.verdict.read_run import read_parquet
from lab.verdict.tables import DETECTED, TableError

DEFAULT_QUERY = "SELECT * FROM detected_outage"


@dataclass(frozen=True, slots=True)
class Share:
    """One customer's part in an outage. Epoch seconds; `gasp_s`, `back_s`: when the meter was heard to say so."""

    usage_point: str
    from_s: float
    to_s: float | None
    gasp_s: float | None = None
    back_s: float | None = None


@dataclass(frozen=True, slots=True)
class DetectedOutage:
    """`shares`, at least one, by usage point. What still lasts counts to `run_end_s`.

    `phase`: which one is open (L1, L2, L3), None for all.
    """

    name: str
    device: str | None
    detected_s: float
    shares: tuple[Share, ...]
    run_end_s: float
    phase: str | None = None

    @property
    def start_s(self) -> float:
        return float(median(share.from_s for share in self.shares))

    @property
    def end_s(self) -> float | None:
        """None while a customer is dark."""
        ends = [share.to_s for share in self.shares if share.to_s is not None]
        return float(median(ends)) if len(ends) == len(self.shares) else None

    @property
    def duration_s(self) -> float:
        """Of most of its customers; meters show whole seconds, so the longest one may be a second too long."""
        ends = (self.run_end_s if share.to_s is None else share.to_s for share in self.shares)
        return float(median(end_s - share.from_s for end_s, share in zip(ends, self.shares, strict=True)))

    @property
    def momentary(self) -> bool:
        return self.duration_s <= MOMENTARY_AT_MOST_S

    @property
    def customers(self) -> int:
        return len(self.shares)


def export_detected(database_url: str, path: Path, *, query: str = DEFAULT_QUERY) -> int:
    """Write the rows of `query` to a parquet file; returns how many there were.

    Raises:
        TableError: with every fault of the query's columns, or what the database said.
    """
    try:
        with psycopg.connect(session(database_url, read_only=True)) as connection, connection.cursor() as cursor:
            cursor.execute(query.encode())
            names = [column.name for column in cursor.description or ()]
            rows = cursor.fetchall()
    except psycopg.Error as error:
        raise TableError([f"detected: the database cannot be read: {str(error).strip()}"]) from error
    known = [name for name in names if name in DETECTED.column_names()]
    columns = {name: [row[names.index(name)] for row in rows] for name in known}
    table = pa.table({name: pa.array(values) for name, values in columns.items()})
    pq.write_table(conform(table, DETECTED, label="detected"), path, compression="zstd")
    return len(rows)


def detected_from_parquet(path: Path) -> pa.Table:
    """Raises TableError with every fault of the file."""
    return read_parquet(path, DETECTED, label=f"detected ({path.name})")


def detected_outages(table: pa.Table, *, run_end_s: float) -> tuple[DetectedOutage, ...]:
    """The outages of a table, by their beginning."""
    shares: dict[str, list[Share]] = defaultdict(list)
    heads: dict[str, tuple[str | None, float]] = {}
    phases: dict[str, str | None] = {}
    for row in table.to_pylist():
        name = row["outage"]
        heads.setdefault(name, (row["device"], row["detected_at"].timestamp()))
        phases.setdefault(name, row.get("phase"))
        shares[name].append(
            Share(
                row["usage_point"],
                row["dark_from"].timestamp(),
                _seconds(row["dark_to"]),
                _seconds(row.get("gasp_received_at")),
                _seconds(row.get("restore_received_at")),
            )
        )
    found = []
    for name, head in heads.items():
        by_point = tuple(sorted(shares[name], key=lambda share: share.usage_point))
        found.append(DetectedOutage(name, *head, by_point, run_end_s, phases[name]))
    return tuple(sorted(found, key=lambda outage: (outage.start_s, outage.name)))


def _seconds(time: datetime | None) -> float | None:
    return None if time is None else time.timestamp()
