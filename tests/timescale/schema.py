"""A head-end's schema on one of the servers, read, written by the head-end's own writer, and maintained."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from psycopg import sql
from yoyo.migrations import MigrationList

from bench.editions import begin_pglite
from headend.drivers import ABSENT, READING_COUNTERS, READING_MEASURES
from headend.store import migrate as migrations
from headend.store import writer
from headend.store.batch import READING_ROW
from headend.store.features import Feature
from headend.store.migrate import connection_info, migrate
from headend.store.timescale import set_up
from headend.store.writer import Batch, Written
from tests.timescale.servers import Server

LENGTH_S = 900


@dataclass(frozen=True)
class Value:
    """What a meter says of one interval. `export_wh` None: nothing."""

    meter: int
    start_s: int
    import_wh: int
    export_wh: int | None = 0
    length_s: int = LENGTH_S
    reactive_q1_varh: int = 0


def create_before(
    connection: psycopg.Connection[Any], name: str, migration: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The schema as a release had it that did not know `migration` (its number) yet, set up for the server."""
    known = migrations._migrations

    @contextmanager
    def earlier() -> Iterator[MigrationList]:
        with known() as found:
            yield found.__class__([each for each in found if each.id < migration])

    connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "_migrations", earlier)
        migrations._apply(connection, name)
    set_up(connection, retention_days=None)


class Schema:
    """One connection at a time, and none between two calls."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = name
        self.info = connection_info(server.url, name)

    @property
    def compresses(self) -> bool:
        return self.server.edition == "community"

    def migrate(self, *, retention_days: int | None = None) -> dict[str, Feature]:
        self.begin()
        found = migrate(self.server.url, self.name, retention_days=retention_days)
        return {feature.name: feature for feature in found}

    def connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        self.begin()
        return psycopg.connect(self.info, autocommit=True)

    def begin(self) -> None:
        if self.server.edition == "community":
            begin_pglite(self.server.url, self.name)

    def rows(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        with self.connect() as connection:
            return connection.execute(query, arguments).fetchall()

    def run(self, statement: str, *arguments: object) -> None:
        with self.connect() as connection:
            connection.execute(statement, arguments)

    def drop(self) -> None:
        self.run(f"DROP SCHEMA {self.name} CASCADE")

    def write(self, *values: Value) -> Written:
        """One batch through the head-end's writer."""
        batch = Batch()
        for value in values:
            export_wh = ABSENT if value.export_wh is None else value.export_wh
            said = {"import_wh": value.import_wh, "export_wh": export_wh}
            said |= {"reactive_q1_varh": value.reactive_q1_varh}
            counters = tuple(said.get(name, 0) for name in READING_COUNTERS)
            batch.add_reading(
                value.meter,
                value.start_s,
                value.length_s,
                value.start_s * 10**6,
                writer.REPORTED,
                counters,
                (0.5,) * len(READING_MEASURES),
            )
            batch.has_absent |= value.export_wh is None

        self.begin()

        async def work() -> Written:
            async with await psycopg.AsyncConnection.connect(self.info, autocommit=True) as connection:
                await writer.prepare(connection)
                async with connection.transaction():
                    return await writer.write(connection, batch, committed_s=value.start_s)

        if self.server.edition != "community":
            return asyncio.run(work())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(writer, "_stage", _stage_by_insert)
            return asyncio.run(work())

    def compress(self) -> int:
        """Compress every chunk, where that can be done; returns how many there are."""
        if not self.compresses:
            return 0
        return len(
            self.rows("SELECT compress_chunk(c, if_not_compressed => true) FROM show_chunks('interval_reading') c")
        )

    def run_policy(self, procedure: str) -> None:
        """What the server's background jobs do, where it has them: nobody runs them in PGlite."""
        jobs = "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = %s ORDER BY job_id"
        for (job,) in self.rows(jobs, procedure):
            self.run(f"CALL run_job({job})")

    def refresh(self) -> None:
        """Bring continuous aggregates up to date by their own policies."""
        if self.compresses:
            self.run_policy("policy_refresh_continuous_aggregate")


async def _stage_by_insert(cursor: psycopg.AsyncCursor[tuple[object, ...]], batch: Batch) -> None:
    """COPY FROM STDIN crashes PGlite."""
    channels = (*READING_COUNTERS, *READING_MEASURES)
    places = "%s, %s, %s, to_timestamp(%s), to_timestamp(%s / 1000000.0), %s, 0" + ", %s" * len(channels)
    names = ["n", "meter_id", "interval_length_s", "interval_start", "received_at", "origin", "quality"]
    rows: list[Sequence[object]] = []
    for n, reading in enumerate(READING_ROW.iter_unpack(batch.readings)):
        meter, start_s, length_s, received_us, origin, *values = reading
        rows.append((n, meter, length_s, start_s, received_us, origin, *values))
    into = f"INSERT INTO stage_reading ({', '.join([*names, *channels])}) VALUES ({places})"
    # One by one: executemany sends all at once, and PGlite's socket stands still when both ends wait to write.
    for row in rows:
        await cursor.execute(into, row)
