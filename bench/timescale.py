"""What readings cost and how fast they are found (`python -m bench timescale`).

On one PostgreSQL 17, started without and with TimescaleDB's Apache edition: ingest by the head-end's own writer in
turns, bytes per reading, and the typical queries over all meters and days. Compression, which that edition has not, is
measured in PGlite on fewer readings. What cannot be had on this machine is left out, and said.

Where others use the machine, too, a query takes longer by the clock; the processors' time for it stays.
"""

import asyncio
import contextlib
import statistics
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psycopg

from bench.editions import Lacking, apache_binaries, begin_pglite, pglite
from bench.ingest import copy_rate
from bench.readings import QUERIES, Volume, fill, take
from bench.report import Result, Spread
from headend.store.migrate import connection_info, migrate
from lab.processes.reaper import Reaper
from lab.processes.supervisor import Supervisor
from lab.services.host import make_private_directory
from lab.services.postgres import EmbeddedPostgres, PostgresBinaries, find_binaries

AIM_MS = 300
PLAIN, HYPERTABLE = "PostgreSQL", "hypertable"
SCHEMA = "bench"
_BATCH_ROWS = 5000
_COMPRESSED = Volume(meters=500, days=14)

Note = Callable[[str], None]


async def measure(
    volume: Volume = Volume(),  # noqa: B008 - frozen
    *,
    rounds: int = 5,
    batches: int = 12,
    queries: int = 40,
    compressed: Volume = _COMPRESSED,
    note: Note = lambda line: print(line, file=sys.stderr, flush=True),
) -> Result:
    """Rounds of `batches` batches of ingest; each query `queries` times on `volume`."""
    result = Result(f"timescale ({volume.text})", {}, {})
    try:
        binaries = PostgresBinaries(apache_binaries(), 17, "system")
        kinds = [PLAIN, HYPERTABLE]
    except Lacking as lacking:
        note(str(lacking))
        binaries, kinds = find_binaries(), [PLAIN]
    async with contextlib.AsyncExitStack() as stack:
        urls = {kind: await stack.enter_async_context(_server(binaries, kind)) for kind in kinds}
        await _ingest(urls, result, rounds=rounds, rows=batches * _BATCH_ROWS, note=note)
        for kind, url in urls.items():
            note(f"{kind}: {volume.text}")
            await asyncio.to_thread(_query, url, kind, volume, result, times=queries, note=note)
    try:
        await asyncio.to_thread(_compress, compressed, result)
    except Lacking as lacking:
        note(str(lacking))
    return result


@contextlib.asynccontextmanager
async def _server(binaries: PostgresBinaries, kind: str) -> AsyncIterator[str]:
    with (
        tempfile.TemporaryDirectory(prefix="amilab-bench-logs-") as logs,
        Reaper(f"bench-{uuid.uuid4().hex[:8]}") as reaper,
    ):
        supervisor = Supervisor(Path(logs), reaper)
        work = make_private_directory(reaper)
        postgres = EmbeddedPostgres(work, supervisor, binaries, load_timescaledb=kind == HYPERTABLE)
        try:
            await postgres.start()
            found = await asyncio.to_thread(migrate, postgres.url, SCHEMA)
            assert {feature.name for feature in found if feature.active} >= (
                {"hypertable"} if kind == HYPERTABLE else set()
            )
            yield postgres.url
        finally:
            await supervisor.stop_all()
            postgres.close()


async def _ingest(urls: dict[str, str], result: Result, *, rounds: int, rows: int, note: Note) -> None:
    """The writer alone (COPY to a stage, INSERT … ON CONFLICT), into an empty schema, one kind after the other."""
    rates: dict[str, list[float]] = {kind: [] for kind in urls}
    for number in range(rounds + 1):
        for kind, url in urls.items():
            rate = await copy_rate(connection_info(url, SCHEMA), number * rows, rows, _BATCH_ROWS)
            if number:  # the first one warms up
                rates[kind].append(rate)
        note(f"ingest, round {number} of {rounds}")
    for kind, values in rates.items():
        _put(result, f"ingest, {kind}", Spread.of(values), "rows/s")
    if HYPERTABLE in rates:
        ratios = [ours / plain for ours, plain in zip(rates[HYPERTABLE], rates[PLAIN], strict=True)]
        _put(result, "ingest, hypertable as a ratio of PostgreSQL", Spread.of(ratios), "")
    for url in urls.values():
        async with await psycopg.AsyncConnection.connect(connection_info(url, SCHEMA), autocommit=True) as connection:
            await connection.execute("TRUNCATE interval_reading")


def _query(url: str, kind: str, volume: Volume, result: Result, *, times: int, note: Note) -> None:
    with psycopg.connect(connection_info(url, SCHEMA), autocommit=True) as connection:
        rows = fill(connection, volume, note)
        function = "pg_total_relation_size" if kind == PLAIN else "hypertable_size"
        _put(
            result,
            f"bytes per reading, {kind}",
            _one(_number(connection, f"SELECT {function}('interval_reading')") / rows),
            "B",
        )
        for name, query in QUERIES.items():
            taken = take(connection, volume, query, times)
            walls_ms = [one.wall_ms for one in taken]
            _put(result, f"{name}, {kind}", Spread.of(walls_ms), "ms")
            _put(result, f"{name}, {kind}: p95 (aim ≤ {AIM_MS})", _one(_p95(walls_ms)), "ms")
            _put(result, f"{name}, {kind}: p95, processor", _one(_p95([one.processor_ms for one in taken])), "ms")


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


def _compress(volume: Volume, result: Result) -> None:
    with pglite() as url:
        begin_pglite(url, SCHEMA)
        migrate(url, SCHEMA)
        begin_pglite(url, SCHEMA)
        with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
            rows = fill(connection, volume)
            connection.execute("SELECT compress_chunk(c) FROM show_chunks('interval_reading') c")
            stats = "SELECT sum({}_compression_total_bytes) FROM hypertable_compression_stats('interval_reading')"
            before, after = (_number(connection, stats.format(when)) for when in ("before", "after"))
    _put(result, "bytes per reading, hypertable in PGlite", _one(before / rows), "B")
    _put(result, "bytes per reading, compressed in PGlite", _one(after / rows), "B")
    _put(result, "compressed as a ratio of not compressed", _one(after / before), "")


def _number(connection: psycopg.Connection[Any], query: str) -> float:
    row = connection.execute(query).fetchone()
    assert row is not None, "these queries always answer one row"
    return float(row[0])


def _one(value: float) -> Spread:
    return Spread.of([value])


def _put(result: Result, name: str, spread: Spread, unit: str) -> None:
    result.figures[name] = spread
    result.units[name] = unit
