"""Commands and the steps of their lives in the database: one statement for each step of a batch.

What is written twice, since the answer of a commit was lost, is there once: by the command's id, and by its attempt and
state.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from headend.store.batch import StepRow
from headend.store.database import Connection, columns_of


@dataclass(frozen=True, slots=True)
class NewCommand:
    """A command that was requested. Instants are epoch s."""

    command_id: str
    meter_id: int
    purpose: str
    params: Mapping[str, object]
    requested_by: str
    requested_s: float
    not_before_s: float
    expires_s: float


@dataclass(frozen=True, slots=True)
class KnownCommand:
    """A command of an earlier life that had not ended, or did so shortly before."""

    command_id: str
    meter_id: int
    purpose: str
    params: Mapping[str, Any]
    requested_by: str
    state: str
    attempts: int
    not_before_s: float
    expires_s: float


_INSERT = """
INSERT INTO command (id, meter_id, purpose, params, requested_by, requested_at, not_before, expires_at, status)
SELECT i, m, p, a, b, to_timestamp(r), to_timestamp(n), to_timestamp(e), %s
FROM unnest(%s::uuid[], %s::int[], %s::text[], %s::jsonb[], %s::text[], %s::float8[], %s::float8[], %s::float8[])
    AS c (i, m, p, a, b, r, n, e)
ON CONFLICT DO NOTHING
"""
_INSERT_FIRST_STEPS = """
INSERT INTO command_step (command_id, attempt, state, at, actor)
SELECT i, 0, s, to_timestamp(r), b
FROM unnest(%s::uuid[], %s::float8[], %s::text[]) AS c (i, r, b) CROSS JOIN unnest(%s::text[]) AS s
ON CONFLICT DO NOTHING
"""
_QUEUE = """
WITH due AS (
    SELECT c.id, c.meter_id, q.attempt FROM unnest(%s::uuid[], %s::int2[]) AS q (id, attempt)
    JOIN command c ON c.id = q.id WHERE c.finished_at IS NULL
), counted AS (
    UPDATE end_device d SET command_counter = greatest(d.command_counter + 1, %s) FROM due
    WHERE d.id = due.meter_id RETURNING d.id AS meter_id, d.command_counter AS counter
), told AS (
    INSERT INTO command_step (command_id, attempt, state, at) SELECT id, attempt, 'queued', to_timestamp(%s)
    FROM due ON CONFLICT DO NOTHING
)
UPDATE command c SET status = 'queued', counter = counted.counter, attempts = due.attempt
FROM due JOIN counted USING (meter_id) WHERE c.id = due.id RETURNING c.id::text, c.counter
"""
_WRITE_STEPS = """
WITH step AS (
    SELECT *
    FROM unnest(%s::uuid[], %s::int2[], %s::text[], %s::float8[], %s::text[], %s::text[], %s::float8[])
    WITH ORDINALITY AS s (id, attempt, state, at, reason, actor, round_trip_s, place)
), open AS (
    SELECT s.* FROM step s JOIN command c USING (id) WHERE c.finished_at IS NULL
), told AS (
    INSERT INTO command_step (command_id, attempt, state, at, reason, actor)
    SELECT id, attempt, state, to_timestamp(at), reason, actor FROM open ON CONFLICT DO NOTHING
), last AS (
    SELECT DISTINCT ON (id) * FROM open ORDER BY id, place DESC
)
UPDATE command c SET status = last.state, reason = last.reason,
    round_trip_s = coalesce(last.round_trip_s, c.round_trip_s),
    finished_at = CASE WHEN last.state IN ('completed', 'refused', 'failed', 'expired', 'cancelled')
        THEN to_timestamp(last.at) END
FROM last WHERE c.id = last.id
"""
_KNOWN = """
SELECT id::text, meter_id, purpose, params, requested_by, status, attempts,
    extract(epoch FROM not_before)::float8, extract(epoch FROM expires_at)::float8
FROM command
"""
_OPEN = f"{_KNOWN} WHERE finished_at IS NULL ORDER BY counter NULLS LAST, requested_at, id"
_ENDED = f"""{_KNOWN}
WHERE purpose = %s AND status IN ('completed', 'expired')
    AND finished_at >= (SELECT max(finished_at) FROM command) - interval '1 hour'
"""  # noqa: S608 - a constant from above


async def insert(connection: Connection, commands: Sequence[NewCommand], states: Sequence[str]) -> None:
    """New commands that have come through `states`, all at the instant of the request, and not been queued."""
    if not commands:
        return
    columns = columns_of(
        [
            (
                command.command_id,
                command.meter_id,
                command.purpose,
                Jsonb(dict(command.params)),
                command.requested_by,
                command.requested_s,
                command.not_before_s,
                command.expires_s,
            )
            for command in commands
        ]
    )
    ids, _, _, _, requested_by, requested_s, _, _ = columns
    await connection.execute(_INSERT, [states[-1], *columns])
    await connection.execute(_INSERT_FIRST_STEPS, [ids, requested_s, requested_by, list(states)])


async def queue(connection: Connection, commands: Sequence[tuple[str, int]], *, now_s: float) -> dict[str, int]:
    """Queue (command id, attempt), one for each meter, and return the counter of each by its id.

    Those that have ended meanwhile are left out. Counters are at least the instant: should the table be lost, those of
    a new one are still greater than what the meters have taken.
    """
    cursor = await connection.execute(_QUEUE, [*columns_of(commands), int(now_s), now_s])
    return {str(row[0]): _int(row[1]) for row in await cursor.fetchall()}


async def write_steps(connection: Connection, steps: Sequence[StepRow]) -> None:
    """Steps in their order. Those of commands that have ended before change nothing."""
    if steps:
        await connection.execute(_WRITE_STEPS, columns_of(steps))


async def open_commands(connection: Connection) -> list[KnownCommand]:
    """Commands that have not ended, older ones first."""
    return await _known(connection, _OPEN)


async def ended_commands(connection: Connection, purpose: str) -> list[KnownCommand]:
    """Those of a purpose that ended, but were not refused, within the last hour in which any command did."""
    return await _known(connection, _ENDED, purpose)


async def _known(connection: Connection, query: str, *arguments: object) -> list[KnownCommand]:
    cursor = await connection.execute(query.encode(), arguments)
    return [
        KnownCommand(
            str(command_id),
            _int(meter_id),
            str(purpose),
            params if isinstance(params, dict) else {},
            str(requested_by),
            str(status),
            _int(attempts),
            float(str(not_before_s)),
            float(str(expires_s)),
        )
        for command_id, meter_id, purpose, params, requested_by, status, attempts, not_before_s, expires_s in (
            await cursor.fetchall()
        )
    ]


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value
