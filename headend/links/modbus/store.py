"""What polls come to in the database: registers, intervals, communication, and what could not be used."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from headend.store.database import Connection
from headend.store.register_records import AcceptedRow, DerivedRow, RegisterRow
from headend.store.register_rows import write_accepted, write_derived, write_registers


@dataclass(slots=True)
class PollBatch:
    """Rows to be written. Times are epoch s."""

    registers: list[RegisterRow] = field(default_factory=list)
    accepted: list[AcceptedRow] = field(default_factory=list)
    derived: list[DerivedRow] = field(default_factory=list)
    #: by meter id and instant: whether it answers; of several at one instant the last counts
    communications: dict[tuple[int, float], bool] = field(default_factory=dict)
    #: meter id, boundary, outcome, code of the exception if it was one, instant
    failures: list[tuple[int, int, str, int | None, float]] = field(default_factory=list)
    #: instant, topic, block as it came, reason, detail
    dead_letters: list[tuple[float, str, bytes, str, str]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.registers or self.derived or self.communications or self.failures or self.dead_letters)


async def write(connection: Connection, batch: PollBatch, *, committed_s: float) -> int:
    """Write a batch inside the caller's transaction; returns how many intervals are new. Idempotent."""
    await write_registers(connection, batch.registers, committed_s=committed_s)
    await write_accepted(connection, batch.accepted)
    inserted = await write_derived(connection, batch.derived, committed_s=committed_s)
    if batch.communications:
        columns = _columns([(*key, online) for key, online in batch.communications.items()])
        await connection.execute(
            "INSERT INTO device_communication (meter_id, at, online) SELECT m, to_timestamp(a), o"
            " FROM unnest(%s::int[], %s::float8[], %s::bool[]) AS c (m, a, o)"
            " ON CONFLICT (meter_id, at) DO UPDATE SET online = excluded.online",
            columns,
        )
        await connection.execute(
            "INSERT INTO device_state (meter_id, online, received_at)"
            " SELECT DISTINCT ON (m) m, o, to_timestamp(a)"
            " FROM unnest(%s::int[], %s::float8[], %s::bool[]) AS c (m, a, o) ORDER BY m, a DESC"
            " ON CONFLICT (meter_id) DO UPDATE SET online = excluded.online, received_at = excluded.received_at",
            columns,
        )
    if batch.failures:
        await connection.execute(
            "INSERT INTO poll_failure (meter_id, boundary, outcome, exception_code, noted_at)"
            " SELECT m, to_timestamp(b), o, c, to_timestamp(n)"
            " FROM unnest(%s::int[], %s::float8[], %s::text[], %s::int2[], %s::float8[]) AS f (m, b, o, c, n)"
            " ON CONFLICT DO NOTHING",
            _columns(list(batch.failures)),
        )
    if batch.dead_letters:
        await connection.execute(
            "INSERT INTO dead_letter (id, received_at, topic, payload, reason, detail)"
            " SELECT i, to_timestamp(r), t, p, w, d"
            " FROM unnest(%s::uuid[], %s::float8[], %s::text[], %s::bytea[], %s::text[], %s::text[])"
            " AS l (i, r, t, p, w, d)",
            [[uuid.uuid4() for _ in batch.dead_letters], *_columns(list(batch.dead_letters))],
        )
    return inserted


async def last_failures(connection: Connection) -> dict[int, str]:
    """The outcome of the latest poll of each meter that failed, by meter id; none where that one was answered."""
    cursor = await connection.execute(
        "SELECT DISTINCT ON (meter_id) meter_id, outcome FROM poll_failure f WHERE NOT EXISTS (SELECT"
        " FROM register_reading r WHERE r.meter_id = f.meter_id AND r.boundary >= f.boundary)"
        " ORDER BY meter_id, boundary DESC"
    )
    return {int(str(meter)): str(outcome) for meter, outcome in await cursor.fetchall()}


def _columns(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]
