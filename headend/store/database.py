"""One connection to the database, kept alive: transactions are begun anew until they are committed."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import psycopg

from headend.errors import DatabaseUnavailable
from headend.log import logger
from headend.metrics import Metrics
from headend.settings import HeadEndSettings
from headend.store.migrate import classify, connection_info, migrate

T = TypeVar("T")
Connection = psycopg.AsyncConnection[tuple[object, ...]]


class Database:
    """Runs units of work, one at a time, on the wall clock: a database has no part in simulated time."""

    def __init__(
        self, settings: HeadEndSettings, metrics: Metrics, *, prepare: Callable[[Connection], Awaitable[None]]
    ) -> None:
        """`prepare` runs on each new connection (temporary tables and the like)."""
        self._settings = settings
        self._url = settings.database_url.get_secret_value()
        self._info = connection_info(self._url, settings.database_schema)
        self._metrics = metrics
        self._prepare = prepare
        self._connection: Connection | None = None
        self._lock = asyncio.Lock()
        self._random = random.Random()

    async def start(self) -> None:
        """Migrate and connect. Raises DatabaseUnavailable after `startup_timeout_s`, DatabaseRefused, SchemaTooNew."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._settings.startup_timeout_s
        delay_s = self._settings.database_retry_first_s
        while True:
            try:
                await asyncio.to_thread(
                    migrate,
                    self._url,
                    self._settings.database_schema,
                    retention_days=self._settings.retention_days,
                )
                break
            except DatabaseUnavailable:
                if loop.time() + delay_s > deadline_s:
                    raise
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, self._settings.database_retry_max_s)
        try:
            self._connection = await self._connect()
        except psycopg.OperationalError as error:
            raise classify(error, self._url) from error

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Commit `work` in one transaction, however long the database is away, and return its result.

        `work` may be run again after a commit whose answer was lost, so it must be idempotent. Errors that another try
        cannot cure are raised: bad SQL, and data that the database refuses (`refuses_data`).
        """
        async with self._lock:
            delay_s = self._settings.database_retry_first_s
            failed = False
            while True:
                try:
                    if self._connection is None or self._connection.closed:
                        self._connection = await self._connect()
                    async with self._connection.transaction():
                        result = await work(self._connection)
                except _PASSING as error:
                    if refuses_data(error):
                        raise
                    if not failed:
                        logger().error(_ADVICE.get(error.sqlstate or "", _LOST), error=" ".join(str(error).split()))
                    failed = True
                    self._metrics.database_retries.inc()
                    await self._drop()
                else:
                    if failed:
                        logger().warning("database is back: writing resumes")
                    return result
                # Full jitter: head-ends that lost the same database do not come back all at once.
                await asyncio.sleep(delay_s * self._random.uniform(0.5, 1.0))
                delay_s = min(delay_s * 2, self._settings.database_retry_max_s)

    async def stop(self) -> None:
        """Close the connection."""
        await self._drop()

    async def _connect(self) -> Connection:
        connection = await psycopg.AsyncConnection.connect(self._info, autocommit=True, connect_timeout=5)
        try:
            await self._prepare(connection)
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _drop(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None


def columns_of(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    """Rows as a statement's `unnest` takes them: a list for each column."""
    return [list(column) for column in zip(*rows, strict=True)]


def refuses_data(error: Exception) -> bool:
    """Whether a database that is there does not take what it was given, and will not take it at another try either.

    By the class of SQLSTATE: 22 data exception, 23 a constraint; 21 two rows of one batch that are one to the database;
    54 a limit of the server (a row too large for an index, say), which psycopg counts among the troubles of the
    connection. Some data do not even get on the way.
    """
    if isinstance(error, psycopg.Error):
        state = error.sqlstate
        return isinstance(error, psycopg.DataError | psycopg.IntegrityError) or (state or "")[:2] in ("21", "54")
    return isinstance(error, UnicodeEncodeError)


# A read-only server is one that has just become, or not yet ceased to be, a standby.
_PASSING = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.ReadOnlySqlTransaction)

_LOST = "database lost: nothing is acknowledged until it is back"
_ADVICE = {
    "53100": "the database's disk is full: nothing is acknowledged until there is room again",
    "53200": "the database is out of memory: nothing is acknowledged until that is over",
    "25006": "the database is read-only: nothing is acknowledged until it can be written",
}
