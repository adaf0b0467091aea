"""The durable memory of a shard: one SQLite file, written before anything is published.

It holds each meter's load profile and event log, what became of its last commands, the state that the meters go on
from, and the last physical frame.
Nothing is ever deleted by a PUBACK; a meter *answers* for no more than its profile's load-profile depth, but the rows
stay, because the file is also the journal of the run.

**What it survives.** One grant is one transaction in WAL mode. A commit hands the pages to the kernel, so SIGKILL of
the process loses nothing that was committed, and what was not committed was not published. `synchronous=NORMAL` leaves
out only the fsync per commit, which guards against the loss of the whole machine.

**What a restart does.** The fleet goes on from the state of its last commit. Intervals that ended while the process was
dead are closed by the first grant: exactly, if the frame of that grant is the kept one or its successor; if frames were
missed, with the energy between the last commit and the new frame spread evenly, and with a record for each interval of
each meter that had supply at either end of the gap or drew energy in it (`Physics.bridge`). The sum stays exact.
"""

from __future__ import annotations

import json
import sqlite3
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meters.device.outcomes import OUTCOMES_KEPT, Outcome
from meters.device.records import RECORD, Event, IntervalRecord
from meters.device.state import METER_STATE, Rows, ShardState
from meters.errors import MemoryFailedError, MemoryFullError

EVENT_COLUMNS = tuple(field.name for field in fields(Event))

_METERS_PER_CHUNK = 64
_CHECKPOINT_PAGES = 8192
_PACKED = struct.Struct("<" + "".join("q" if RECORD[name].kind == "i" else "d" for name in IntervalRecord._fields))
"""A `RECORD`."""

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, value ANY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS state (chunk INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS interval (
    interval_start_s NOT NULL, meter NOT NULL, record BLOB NOT NULL, PRIMARY KEY (interval_start_s, meter)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS written (meter INTEGER PRIMARY KEY, lasting BLOB NOT NULL, passing BLOB);
CREATE TABLE IF NOT EXISTS curve (number INTEGER PRIMARY KEY, knots BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS event (
    {", ".join(f"{name} NOT NULL" for name in EVENT_COLUMNS)}, PRIMARY KEY (meter, sequence)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outcome (
    meter NOT NULL, counter NOT NULL, command TEXT NOT NULL, kept BLOB NOT NULL, PRIMARY KEY (meter, counter)
) WITHOUT ROWID;
"""
# The tables' keys put one boundary of all meters side by side: a grant appends.
_INSERT_INTERVAL = "INSERT INTO interval VALUES (?, ?, ?)"
_INSERT_EVENT = f"INSERT INTO event VALUES ({', '.join('?' * len(EVENT_COLUMNS))})"  # noqa: S608  # constants
_DROP_OLDER_OUTCOMES = (
    "DELETE FROM outcome WHERE meter = ?1 AND counter < (SELECT counter FROM outcome WHERE meter = ?1"
    " ORDER BY counter DESC LIMIT 1 OFFSET ?2)"
)
_SELECT_BLOCK = (
    "SELECT interval.record FROM json_each(?) AS start CROSS JOIN interval ON interval.interval_start_s = start.value"
    " AND interval.meter >= ? AND interval.meter < ? ORDER BY interval.meter, interval.interval_start_s"
)
_SELECT_INTERVALS = (
    "SELECT interval.record FROM json_each(?) AS start CROSS JOIN interval"
    " ON interval.interval_start_s = start.value AND interval.meter = ? ORDER BY interval.interval_start_s"
)


@dataclass(frozen=True, slots=True)
class Written:
    """What one meter has to remember besides its state: `lasting` until it is written anew, `passing` until a commit
    has a `wire` that covers it."""

    meter: int
    lasting: bytes
    passing: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """What a file holds from an earlier process. `lasting` and `passing`: of Written, by meter."""

    now_s: int
    state: ShardState
    frame: bytes | None
    wire: bytes | None
    lasting: Mapping[int, bytes] = field(default_factory=dict)
    passing: Mapping[int, bytes] = field(default_factory=dict)


class Memory:
    """The file of one shard. Every method raises MemoryFullError or MemoryFailedError, naming the file."""

    def __init__(self, path: Path, *, identity: dict[str, object]) -> None:
        """Open or create. `identity` says whose memory it is; a file of another fleet is refused."""
        self._path = path
        schema = [METER_STATE.descr, RECORD.descr, _SCHEMA]
        self._identity = json.dumps({"schema": schema, **identity}, sort_keys=True)
        self._passing = True
        """Whether any may be kept."""
        with self._speaking():
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=0.5)
        try:
            with self._speaking():
                self._prepare()
        except MemoryFailedError:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        for pragma in (
            "locking_mode=EXCLUSIVE",
            "journal_mode=WAL",
            "synchronous=NORMAL",
            f"wal_autocheckpoint={_CHECKPOINT_PAGES}",
        ):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.executescript(f"BEGIN;{_SCHEMA}COMMIT;")
        found = self._kept_value("identity")
        if found is None:
            self._connection.execute("INSERT INTO kept VALUES ('identity', ?)", (self._identity,))
        elif found != self._identity:
            raise MemoryFailedError(
                f"{self._path}: is the memory of another fleet (other meters, seed, start or version of the program); "
                "give each run a directory of its own, or delete the file"
            )

    def restore(self) -> Kept | None:
        """What an earlier process left, or None in a new file."""
        with self._speaking():
            now_s = self._kept_value("now_s")
            if not isinstance(now_s, int):
                return None
            chunks = self._connection.execute("SELECT data FROM state ORDER BY chunk").fetchall()
            frame, wire = self._kept_value("frame"), self._kept_value("wire")
            written = self._connection.execute("SELECT meter, lasting, passing FROM written").fetchall()
        state = np.frombuffer(b"".join(data for (data,) in chunks), dtype=METER_STATE).copy()
        return Kept(
            now_s,
            state,
            frame if isinstance(frame, bytes) else None,
            wire if isinstance(wire, bytes) else None,
            {meter: lasting for meter, lasting, _ in written},
            {meter: passing for meter, _, passing in written if passing},
        )

    def commit(
        self,
        now_s: int,
        state: ShardState,
        changed: Rows,
        *,
        intervals: Sequence[IntervalRecord] = (),
        events: Sequence[Event] = (),
        frame: bytes | None = None,
        wire: bytes | None = None,
        knots: bytes | None = None,
        outcome: tuple[int, int, Outcome] | None = None,
    ) -> None:
        """Write one grant: new records, the state of the `changed` meters, and the frame if there is a new one.

        `wire`: what else the shard has to remember. `knots`: where curves of registers change
        (meters/device/curve.py). `outcome`: meter, counter, and what became of the command that came with it.
        """
        chunks: NDArray[np.intp] = np.unique(changed // _METERS_PER_CHUNK)
        parts = [(int(chunk), state[chunk * _METERS_PER_CHUNK :][:_METERS_PER_CHUNK].tobytes()) for chunk in chunks]
        with self._speaking(), self._transaction():
            self._connection.executemany(
                _INSERT_INTERVAL, ((each.interval_start_s, each.meter, _PACKED.pack(*each)) for each in intervals)
            )
            self._connection.executemany(
                _INSERT_EVENT,
                ((e.meter, e.sequence, e.code, e.device_time_s, e.true_time_s, e.detail) for e in events),
            )
            self._connection.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", parts)
            self._connection.execute("INSERT OR REPLACE INTO kept VALUES ('now_s', ?)", (now_s,))
            if outcome is not None:
                meter, counter, found = outcome
                row = (meter, counter, found.command_id, found.kept())
                self._connection.execute("INSERT INTO outcome VALUES (?, ?, ?, ?)", row)
                self._connection.execute(_DROP_OLDER_OUTCOMES, (meter, OUTCOMES_KEPT - 1))
            if knots is not None:
                self._connection.execute("INSERT INTO curve (knots) VALUES (?)", (knots,))
            for name, value in (("frame", frame), ("wire", wire)):
                if value is not None:
                    self._connection.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (name, value))
            if wire is not None and self._passing:
                self._connection.execute("UPDATE written SET passing = NULL WHERE passing IS NOT NULL")
        self._passing &= wire is None

    def keep(self, now_s: int, written: Written | None) -> None:
        """Between two grants: up to when the meters have lived, and what was written into one of them."""
        with self._speaking(), self._transaction():
            self._connection.execute("INSERT OR REPLACE INTO kept VALUES ('now_s', ?)", (now_s,))
            if written is not None:
                row = (written.meter, written.lasting, written.passing or None)
                self._connection.execute("INSERT OR REPLACE INTO written VALUES (?, ?, ?)", row)
        self._passing |= written is not None

    def intervals(self, meter: int, starts_s: Sequence[int]) -> list[IntervalRecord]:
        """Records of one meter whose intervals start at any of `starts_s`, by rising start."""
        with self._speaking():
            found = self._connection.execute(_SELECT_INTERVALS, (json.dumps(list(starts_s)), meter))
            return [IntervalRecord._make(_PACKED.unpack(record)) for (record,) in found]

    def block(self, first: int, end: int, starts_s: Sequence[int]) -> list[IntervalRecord]:
        """Records of the meters `first` to `end`, exclusive, that start at any of `starts_s`, by meter and start."""
        with self._speaking():
            found = self._connection.execute(_SELECT_BLOCK, (json.dumps(list(starts_s)), first, end))
            return [IntervalRecord._make(_PACKED.unpack(record)) for (record,) in found]

    def outcome(self, meter: int, command_id: str) -> Outcome | None:
        """What became of a command of this id, if it is among the last that the meter took."""
        query = "SELECT kept FROM outcome WHERE meter = ? AND command = ?"
        with self._speaking():
            row = self._connection.execute(query, (meter, command_id)).fetchone()
        return None if row is None else Outcome.of_kept(command_id, row[0])

    def events_after(self, meter: int, sequence: int) -> list[Event]:
        """The event log of one meter from `sequence` on, exclusive."""
        query = "SELECT * FROM event WHERE meter = ? AND sequence > ? ORDER BY sequence"
        with self._speaking():
            return [Event(*row) for row in self._connection.execute(query, (meter, sequence))]

    def all_intervals(self, batch: int) -> Iterator[NDArray[np.void]]:
        """Every record, by start and meter, in arrays of up to `batch` (`RECORD`)."""
        for rows in self._batches("SELECT record FROM interval ORDER BY interval_start_s, meter", batch):
            yield np.frombuffer(b"".join(record for (record,) in rows), dtype=RECORD)

    def all_knots(self) -> bytes:
        """All that was given as `knots`, in the order of time."""
        with self._speaking():
            return b"".join(knots for (knots,) in self._connection.execute("SELECT knots FROM curve ORDER BY number"))

    def all_events(self, batch: int) -> Iterator[list[tuple[object, ...]]]:
        """Every event, by meter and sequence, each in the order of `EVENT_COLUMNS`, in lists of up to `batch`."""
        yield from self._batches("SELECT * FROM event ORDER BY meter, sequence", batch)

    def close(self) -> None:
        with self._speaking():
            self._connection.close()

    def _batches(self, query: str, batch: int) -> Iterator[list[tuple[Any, ...]]]:
        with self._speaking():
            cursor = self._connection.execute(query)
            while rows := cursor.fetchmany(batch):
                yield rows

    def _kept_value(self, name: str) -> object:
        row = self._connection.execute("SELECT value FROM kept WHERE name = ?", (name,)).fetchone()
        return None if row is None else row[0]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except sqlite3.Error:
            # A full disk makes SQLite roll back by itself.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        """Errors of the file system and of foreign files in words; those of the program as they are."""
        try:
            yield
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
            raise
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                raise MemoryFullError(
                    f"{self._path}: no space left for the meters' durable memory; free some and start again: what was "
                    "recorded before is kept"
                ) from error
            raise MemoryFailedError(f"{self._path}: the meters' durable memory cannot be used: {error}") from error
