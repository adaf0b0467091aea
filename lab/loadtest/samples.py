"""What is measured each second while a load test goes on, for the table `load_test_sample` and for the report."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Literal

import psycopg
from psycopg import sql

from lab.loadtest.generator import Generator, Progress
from lab.loadtest.stand import Stand
from lab.services.database_session import session

EVERY_S = 1.0
Source = Literal["client", "head-end", "database", "generator"]
Limit = tuple[Source, str, float]
"""Source, metric and value of what a figure is to be seen against, such as a ceiling."""
_WITH_PROCESSES: tuple[Source, ...] = ("head-end", "database", "generator")
_ROWS = (
    "SELECT coalesce(sum(n_tup_ins), 0)::int8 FROM pg_stat_user_tables"
    " WHERE (schemaname = current_schema AND relname = 'interval_reading') OR relname LIKE '\\_hyper\\_%'"
)


@dataclass(frozen=True, slots=True)
class Sample:
    """`at_s`: epoch s."""

    at_s: float
    source: Source
    metric: str
    value: float


class Sampler:
    """Collects samples, and keeps them in the database for whoever looks at its dashboards meanwhile."""

    def __init__(self, run: str, stand: Stand, told: Callable[[Progress], None], limits: Sequence[Limit] = ()) -> None:
        """:param told: called each second with what the generator says."""
        self._run = run
        self._stand = stand
        self._told = told
        self._limits = limits
        self.samples: list[Sample] = []
        self._before: dict[str, tuple[float, float]] = {}

    async def watch(self, generator: Generator) -> None:
        """Until cancelled."""
        self._before.clear()
        store = self._stand.store
        async with await psycopg.AsyncConnection.connect(
            session(store.url, schema=store.schema), autocommit=True
        ) as connection:
            while True:
                await self._sample(generator, connection)
                await asyncio.sleep(EVERY_S)

    async def _sample(self, generator: Generator, connection: psycopg.AsyncConnection) -> None:
        at_s = time.time()
        fresh: list[Sample] = []
        progress = generator.progress()
        if progress is not None:
            self._told(progress)
            fresh += self._rate("client", "offered_messages_per_s", progress.at_s, progress.sent)
            fresh += self._rate("client", "messages_per_s", progress.at_s, progress.acknowledged)
            fresh += self._rate("client", "errors_per_s", progress.at_s, progress.failed)
            fresh.append(Sample(at_s, "client", "users", progress.users))
            fresh.append(Sample(at_s, "generator", "lag_ms", progress.lag_p95_s * 1000))
        fresh += [Sample(at_s, source, metric, value) for source, metric, value in self._limits]
        counted = await self._stand.counted()
        fresh += self._rate("head-end", "messages_per_s", at_s, counted.messages)
        fresh += self._rate("head-end", "rows_per_s", at_s, counted.rows)
        latencies = asdict(counted.receive_to_commit_ms)
        fresh += [Sample(at_s, "head-end", f"{name}_ms", latencies[name]) for name in ("p50", "p95", "p99")]
        row = await (await connection.execute(_ROWS)).fetchone()
        fresh += self._rate("database", "rows_per_s", at_s, float(row[0]) if row else 0.0)
        busy_s = self._stand.busy_s(generator.names)
        for source in (known for known in _WITH_PROCESSES if known in busy_s):
            fresh += self._rate(source, "cpu_percent", at_s, 100 * busy_s[source])
        await _insert(connection, self._run, fresh)
        self.samples += fresh

    def _rate(self, source: Source, metric: str, at_s: float, total: float) -> list[Sample]:
        """The increase per second since the sample before; nothing for the first, and for one of the same instant."""
        name = f"{source}/{metric}"
        before = self._before.get(name)
        if before is not None and at_s <= before[0]:
            return []
        self._before[name] = (at_s, total)
        return [] if before is None else [Sample(at_s, source, metric, (total - before[1]) / (at_s - before[0]))]


async def add_samples(stand: Stand, run: str, samples: Sequence[Sample]) -> None:
    """Keep in the database what is known afterwards only."""
    store = stand.store
    async with await psycopg.AsyncConnection.connect(
        session(store.url, schema=store.schema), autocommit=True
    ) as connection:
        await _insert(connection, run, samples)


async def _insert(connection: psycopg.AsyncConnection, run: str, samples: Sequence[Sample]) -> None:
    if samples:
        async with connection.cursor() as cursor:
            await cursor.executemany(
                sql.SQL("INSERT INTO load_test_sample (run, at, source, metric, value) VALUES (%s, %s, %s, %s, %s)"),
                [(run, datetime.fromtimestamp(s.at_s, UTC), s.source, s.metric, s.value) for s in samples],
            )
