"""The utility's SCADA historian: puts what transformers measure into the head-end's table transformer_measurement.

It works beside the run and holds nothing up: whenever it hears of the time, it writes all whole intervals since the
last ones. While the database is away it tries again when it next hears of the time; nothing is lost, since the grid
remembers.
"""

from __future__ import annotations

import asyncio
import contextlib

import psycopg

from lab.lockstep.answers import Transformers, checked
from lab.lockstep.link import LabLink
from lab.services.database_session import session

LENGTH_S = 900


class Historian:
    """Of one run. Times are the lab's, epoch s."""

    def __init__(self, link: LabLink, grid: str, database_url: str, schema: str, *, start_s: int) -> None:
        """:param grid: the grid's name at the link."""
        self._link = link
        self._grid = grid
        self._database = (database_url, schema)
        self._written_to_s = start_s
        self._now_s = start_s
        self._heard = asyncio.Event()
        self._task = asyncio.create_task(self._work(), name="historian")

    def hear(self, now_s: int) -> None:
        """The lab has lived through everything up to here."""
        self._now_s = now_s
        if now_s - self._written_to_s >= LENGTH_S:
            self._heard.set()

    async def finish(self) -> None:
        """Write what is left, if the database is there: else whoever reads it next will say so."""
        await self.cancel()
        with contextlib.suppress(psycopg.OperationalError):
            await self._write()

    async def cancel(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            await self._heard.wait()
            self._heard.clear()
            with contextlib.suppress(psycopg.OperationalError):
                await self._write()

    async def _write(self) -> None:
        reply = await self._link.call(
            self._grid, "transformers", from_s=self._written_to_s, until_s=self._now_s, interval_length_s=LENGTH_S
        )
        rows = checked(reply, Transformers)["measurements"]
        if rows:
            await write_measurements(*self._database, rows)
            self._written_to_s = max(row[1] for row in rows) + LENGTH_S


async def write_measurements(database_url: str, schema: str, rows: list[tuple[str, int, float, float]]) -> None:
    """Rows: transformer as the network model names it, start [epoch s], energy [Wh], loading [%]. Again is no harm.

    :raises psycopg.OperationalError: the database is away.
    """
    names, starts_s, energies_wh, loadings = zip(*rows, strict=True)
    async with await psycopg.AsyncConnection.connect(session(database_url), connect_timeout=5) as connection:
        await connection.execute("SELECT set_config('search_path', quote_ident(%s), true)", [schema])
        await connection.execute(
            "INSERT INTO transformer_measurement SELECT t, to_timestamp(s), %s, e, l"
            " FROM unnest(%s::text[], %s::float8[], %s::float8[], %s::float8[]) AS measured (t, s, e, l)"
            " ON CONFLICT DO NOTHING",
            [LENGTH_S, list(names), list(starts_s), list(energies_wh), list(loadings)],
        )
