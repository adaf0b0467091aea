"""What polls come to in the database: registers, intervals, communication, and what could not be used."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from headend.drivers import Registers
from headend.reads.estimation import BoundaryReading, DerivedInterval
from headend.store.database import Connection

ACTUAL, ESTIMATED = 0, 1


@dataclass(slots=True)
class PollBatch:
    """Rows to be written. Times are epoch s."""

    #: meter id, poll, why it is not believed
    registers: list[tuple[int, BoundaryReading, str | None]] = field(default_factory=list)
    #: meter id, boundary of a poll that is believed after all
    accepted: list[tuple[int, int]] = field(default_factory=list)
    #: meter id, interval length, instant of the answer, interval, registers at its end if they are known
    intervals: list[tuple[int, int, float, DerivedInterval, Registers | None]] = field(default_factory=list)
    #: by meter id and instant: whether it answers; of several at one instant the last counts
    communications: dict[tuple[int, float], bool] = field(default_factory=dict)
    #: meter id, boundary, outcome, code of the exception if it was one, instant
    failures: list[tuple[int, int, str, int | None, float]] = field(default_factory=list)
    #: instant, topic, block as it came, reason, detail
    dead_letters: list[tuple[float, str, bytes, str, str]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.registers or self.intervals or self.communications or self.failures or self.dead_letters)


async def write(connection: Connection, batch: PollBatch, *, committed_s: float) -> int:
    """Write a batch inside the caller's transaction; returns how many intervals are new. Idempotent."""
    if batch.registers:
        await connection.execute(
            "INSERT INTO register_reading (meter_id, boundary, read_at, import_register_wh, export_register_wh,"
            " active_power_w, voltage_l1_v, voltage_l2_v, voltage_l3_v, implausible, committed_at)"
            " SELECT m, to_timestamp(b), to_timestamp(r), i, e, p, v1, v2, v3, f, to_timestamp(%s)"
            " FROM unnest(%s::int[], %s::float8[], %s::float8[], %s::int8[], %s::int8[], %s::int8[], %s::float8[],"
            " %s::float8[], %s::float8[], %s::text[]) AS g (m, b, r, i, e, p, v1, v2, v3, f) ON CONFLICT DO NOTHING",
            [
                committed_s,
                *_columns(
                    [
                        (meter, poll.boundary_s, poll.at_s, *_values(poll.registers), fault)
                        for meter, poll, fault in batch.registers
                    ]
                ),
            ],
        )
    if batch.accepted:
        await connection.execute(
            "UPDATE register_reading r SET implausible = NULL FROM unnest(%s::int[], %s::float8[]) AS a (m, b)"
            " WHERE r.meter_id = a.m AND r.boundary = to_timestamp(a.b)",
            _columns(list(batch.accepted)),
        )
    inserted = 0
    if batch.intervals:
        cursor = await connection.execute(
            "INSERT INTO interval_reading (meter_id, interval_start, interval_length_s, import_wh, export_wh, quality,"
            " device_time, received_at, import_register_wh, export_register_wh, import_power_w, export_power_w,"
            " voltage_l1_v, voltage_l2_v, voltage_l3_v, committed_at, revision, origin)"
            " SELECT m, to_timestamp(s), l, i, e, q, to_timestamp(s + l), to_timestamp(t), ir, er, ip, ep, v1, v2, v3,"
            " to_timestamp(%s), 0, 0"
            " FROM unnest(%s::int[], %s::float8[], %s::int[], %s::int8[], %s::int8[], %s::int2[], %s::float8[],"
            " %s::int8[], %s::int8[], %s::int8[], %s::int8[], %s::float8[], %s::float8[], %s::float8[])"
            " AS g (m, s, l, i, e, q, t, ir, er, ip, ep, v1, v2, v3) ON CONFLICT DO NOTHING",
            [committed_s, *_columns([_interval_row(*row) for row in batch.intervals])],
        )
        inserted = cursor.rowcount
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


async def last_polls(connection: Connection) -> dict[int, tuple[BoundaryReading, list[BoundaryReading]]]:
    """The latest poll of each meter that is believed, and those since that are not, by meter id."""
    columns = (
        "extract(epoch FROM r.boundary)::int8, extract(epoch FROM r.read_at)::float8, r.import_register_wh,"
        " r.export_register_wh, r.active_power_w, r.voltage_l1_v, r.voltage_l2_v, r.voltage_l3_v"
    )
    believed = (
        "SELECT DISTINCT ON (meter_id) meter_id, boundary FROM register_reading WHERE implausible IS NULL"
        " ORDER BY meter_id, boundary DESC"
    )
    cursor = await connection.execute(
        f"SELECT r.meter_id, {columns} FROM ({believed}) l JOIN register_reading r"  # noqa: S608 - constants from above
        " ON r.meter_id = l.meter_id AND r.boundary >= l.boundary ORDER BY r.meter_id, r.boundary".encode()
    )
    polls: dict[int, tuple[BoundaryReading, list[BoundaryReading]]] = {}
    for meter, boundary_s, at_s, import_wh, export_wh, power_w, *voltages_v in await cursor.fetchall():
        poll = BoundaryReading(
            int(str(boundary_s)),
            float(str(at_s)),
            Registers(
                int(str(import_wh)),
                int(str(export_wh)),
                int(str(power_w)),
                tuple(float(str(volts)) for volts in voltages_v),  # type: ignore[arg-type]  # three of them
            ),
        )
        if (found := polls.get(int(str(meter)))) is None:
            polls[int(str(meter))] = poll, []
        else:
            found[1].append(poll)
    return polls


async def last_failures(connection: Connection) -> dict[int, str]:
    """The outcome of the latest poll of each meter that failed, by meter id; none where that one was answered."""
    cursor = await connection.execute(
        "SELECT DISTINCT ON (meter_id) meter_id, outcome FROM poll_failure f WHERE NOT EXISTS (SELECT"
        " FROM register_reading r WHERE r.meter_id = f.meter_id AND r.boundary >= f.boundary)"
        " ORDER BY meter_id, boundary DESC"
    )
    return {int(str(meter)): str(outcome) for meter, outcome in await cursor.fetchall()}


def _values(registers: Registers) -> tuple[float, ...]:
    return (registers.import_register_wh, registers.export_register_wh, registers.active_power_w, *registers.voltages_v)


def _interval_row(
    meter: int, length_s: int, at_s: float, share: DerivedInterval, end: Registers | None
) -> tuple[object, ...]:
    quality = ESTIMATED if share.estimated else ACTUAL
    head = (meter, share.start_s, length_s, share.import_wh, share.export_wh, quality, at_s)
    if end is None:
        return (*head, *(None,) * 7)
    moment: tuple[object, ...] = (None,) * 5
    if not share.estimated:
        moment = (max(end.active_power_w, 0), max(-end.active_power_w, 0), *end.voltages_v)
    return (*head, end.import_register_wh, end.export_register_wh, *moment)


def _columns(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]
