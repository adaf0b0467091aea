"""One batch, one transaction; and if the database refuses something in it, everything but that.

Whatever a device could get past its driver costs itself alone: the batch is halved until the row that is refused stands
by itself, which then becomes a dead letter with the database's reason. A database that is away, full or read-only
refuses nothing: it is waited for (headend/store/database.py).
"""

import uuid

import psycopg

from headend.clock import Clock
from headend.log import logger
from headend.store import side_rows, writer
from headend.store.batch import MOST_EXAMPLE_BYTES, Batch
from headend.store.database import Connection, Database, refuses_data
from headend.store.writer import Written

_REFUSED = uuid.UUID("0a4ef3b0-6a57-4a38-9a70-5d4e9c6c2f10")
"""Namespace of the ids of such letters: a transaction whose answer is lost is done again."""


async def commit(database: Database, batch: Batch, clock: Clock) -> Written:
    """Commit a batch, however long the database is away, without the rows that it refuses."""

    async def all_at_once(connection: Connection) -> Written:
        return await writer.write(connection, batch, committed_s=clock.now())

    async def apart(connection: Connection) -> Written:
        return await _write_apart(connection, batch, clock.now())

    try:
        return await database.run(all_at_once)
    except (psycopg.Error, UnicodeEncodeError) as error:
        if not refuses_data(error):
            raise
        logger().error("the database refuses a row: it is sought and kept aside", error=_reason(error))
        return await database.run(apart)


async def _write_apart(connection: Connection, batch: Batch, committed_s: float) -> Written:
    try:
        async with connection.transaction():
            await writer.clear(connection)
            return await writer.write(connection, batch, committed_s=committed_s)
    except (psycopg.Error, UnicodeEncodeError) as error:
        if not refuses_data(error):
            raise
        parts = batch.parts()
        if not parts:
            await _bury(connection, batch, error, committed_s)
            return Written(0, 0, 0, refused=1)
    written = Written(0, 0, 0)
    for part in parts:
        written += await _write_apart(connection, part, committed_s)
    return written


async def _bury(connection: Connection, batch: Batch, error: Exception, committed_s: float) -> None:
    relation, meter, refused = batch.single()
    named = await connection.execute("SELECT serial FROM end_device WHERE id = %s", [meter])
    serial = await named.fetchone()
    text = ascii(refused)
    letter = Batch()
    letter.dead_letters.append(
        (
            uuid.uuid5(_REFUSED, f"{relation} {text}"),
            committed_s,
            f"refused/{relation}/{serial[0] if serial else ''}",
            text.encode()[:MOST_EXAMPLE_BYTES],
            "refused_by_database",
            _reason(error),
        )
    )
    logger().error("the database refuses a row: kept as a dead letter", relation=relation, meter_id=meter)
    try:
        async with connection.transaction():
            await side_rows.write(connection, letter, committed_s=committed_s)
    except psycopg.Error as again:
        if not refuses_data(again):
            raise
        row = text[:MOST_EXAMPLE_BYTES]
        logger().error("the database refuses the letter, too: it is lost", row=row, error=_reason(again))


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{error.sqlstate}: {text}"[:1024] if isinstance(error, psycopg.Error) and error.sqlstate else text[:1024]
