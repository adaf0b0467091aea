"""Commands made durable, signed and ready to be sent: the counter is in the database before anyone can see it."""

import uuid
from collections.abc import Sequence

from psycopg.types.json import Jsonb

from headend.commands.envelope import CommandSigner
from headend.links.link import Outgoing
from headend.reads.recovery import Ask
from headend.registry import EndDevice
from headend.store.database import Connection, Database

LOAD_PROFILE_READ = "load_profile.read"


async def issue(
    database: Database,
    signer: CommandSigner,
    devices: Sequence[EndDevice],
    asks: Sequence[Ask],
    *,
    now_s: float,
    expiry_s: int,
) -> list[Outgoing]:
    """Record and sign one `load_profile.read` for each request.

    Counters are at least the instant of issue: should the table be lost, those of a new one are still greater than what
    the meters have accepted.
    """
    issued_s = int(now_s)
    expires_s = issued_s + expiry_s
    ids = [str(uuid.uuid4()) for _ in asks]
    meters = [devices[ask.meter].id for ask in asks]
    params: list[dict[str, object]] = [{"from": ask.from_s, "to": ask.to_s} for ask in asks]

    async def work(connection: Connection) -> dict[int, int]:
        cursor = await connection.execute(
            "UPDATE end_device SET command_counter = greatest(command_counter + 1, %s) WHERE id = ANY(%s)"
            " RETURNING id, command_counter",
            [issued_s, meters],
        )
        counters = {_int(row[0]): _int(row[1]) for row in await cursor.fetchall()}
        given = [counters[meter] for meter in meters]
        await connection.execute(
            "INSERT INTO command (id, meter_id, purpose, params, counter, issued_at, expires_at, status)"
            " SELECT i, m, %s, p, c, to_timestamp(%s), to_timestamp(%s), 'issued'"
            " FROM unnest(%s::uuid[], %s::int[], %s::jsonb[], %s::int8[]) AS c (i, m, p, c)"
            " ON CONFLICT (id) DO UPDATE SET counter = excluded.counter",
            [LOAD_PROFILE_READ, issued_s, expires_s, ids, meters, list(map(Jsonb, params)), given],
        )
        return counters

    counters = await database.run(work)
    return [
        Outgoing(
            command_id=command_id,
            device=devices[ask.meter],
            purpose=LOAD_PROFILE_READ,
            params=param,
            expires_s=expires_s,
            envelope=signer.sign(
                command_id=command_id,
                serial=devices[ask.meter].serial,
                purpose=LOAD_PROFILE_READ,
                issued_s=issued_s,
                expires_s=expires_s,
                counter=counters[meter],
                params=param,
            ),
        )
        for command_id, ask, meter, param in zip(ids, asks, meters, params, strict=True)
    ]


async def expire(database: Database, command_ids: Sequence[str], *, now_s: float) -> None:
    """Note that nobody answered these in time."""

    async def work(connection: Connection) -> None:
        await connection.execute(
            "UPDATE command SET status = 'expired', finished_at = to_timestamp(%s)"
            " WHERE id = ANY(%s::uuid[]) AND status = 'issued'",
            [now_s, list(command_ids)],
        )

    await database.run(work)


async def open_commands(connection: Connection) -> list[tuple[str, int, int, int, float]]:
    """Load-profile requests without an answer, older ones first: (command id, meter id, from, to, expiry), epoch s."""
    cursor = await connection.execute(
        "SELECT id::text, meter_id, (params->>'from')::int8, (params->>'to')::int8,"
        " extract(epoch FROM expires_at)::float8 FROM command WHERE status = 'issued' AND purpose = %s"
        " ORDER BY counter",
        [LOAD_PROFILE_READ],
    )
    return [
        (str(row[0]), _int(row[1]), _int(row[2]), _int(row[3]), float(str(row[4]))) for row in await cursor.fetchall()
    ]


async def ended_commands(connection: Connection) -> list[tuple[str, int, int, int]]:
    """Load-profile requests that ended within the last hour in which any did: (command id, meter id, from, to)."""
    cursor = await connection.execute(
        "SELECT id::text, meter_id, (params->>'from')::int8, (params->>'to')::int8 FROM command"
        " WHERE status IN ('answered', 'expired') AND purpose = %s"
        " AND finished_at >= (SELECT max(finished_at) FROM command) - interval '1 hour'",
        [LOAD_PROFILE_READ],
    )
    return [(str(row[0]), _int(row[1]), _int(row[2]), _int(row[3])) for row in await cursor.fetchall()]


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value
