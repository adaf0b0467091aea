"""Registers at boundaries in the database, of polls and of reports, and where there are none."""

from collections.abc import Sequence

from headend.drivers import ABSENT, Registers
from headend.drivers.records import REACTIVE_REGISTERS
from headend.store.batch import Batch
from headend.store.database import Connection, columns_of
from headend.store.register_records import MOMENT_FAULTS, AcceptedRow, BoundaryReading, PollFailureRow, RegisterRow


async def write(connection: Connection, batch: Batch, *, committed_s: float) -> None:
    """Write them inside the caller's transaction. Idempotent."""
    await _write_registers(connection, batch.registers, committed_s)
    await _write_accepted(connection, batch.accepted)
    await _write_failures(connection, batch.poll_failures)


async def _write_registers(connection: Connection, rows: Sequence[RegisterRow], committed_s: float) -> None:
    if not rows:
        return
    await connection.execute(
        "INSERT INTO register_reading (meter_id, boundary, read_at, import_register_wh, export_register_wh,"
        " active_power_w, voltage_l1_v, voltage_l2_v, voltage_l3_v, reactive_import_register_varh,"
        " reactive_export_register_varh, interpolated, implausible, committed_at)"
        " SELECT m, to_timestamp(b), to_timestamp(r), i, e, p, v1, v2, v3, qi, qe, n, f, to_timestamp(%s)"
        " FROM unnest(%s::int[], %s::float8[], %s::float8[], %s::int8[], %s::int8[], %s::int8[], %s::float8[],"
        " %s::float8[], %s::float8[], %s::int8[], %s::int8[], %s::bool[], %s::text[])"
        " AS g (m, b, r, i, e, p, v1, v2, v3, qi, qe, n, f) ON CONFLICT DO NOTHING",
        [
            committed_s,
            *columns_of(
                [(row.meter_id, row.reading.boundary_s, row.reading.at_s, *_values(row), row.doubt) for row in rows]
            ),
        ],
    )


async def _write_accepted(connection: Connection, rows: Sequence[AcceptedRow]) -> None:
    if rows:
        await connection.execute(
            "UPDATE register_reading r SET implausible = NULL FROM unnest(%s::int[], %s::float8[]) AS a (m, b)"
            " WHERE r.meter_id = a.m AND r.boundary = to_timestamp(a.b)",
            columns_of(rows),
        )


async def _write_failures(connection: Connection, rows: Sequence[PollFailureRow]) -> None:
    if rows:
        await connection.execute(
            "INSERT INTO poll_failure (meter_id, boundary, outcome, exception_code, noted_at)"
            " SELECT m, to_timestamp(b), o, c, to_timestamp(n)"
            " FROM unnest(%s::int[], %s::float8[], %s::text[], %s::int2[], %s::float8[]) AS f (m, b, o, c, n)"
            " ON CONFLICT DO NOTHING",
            columns_of(rows),
        )


async def last_readings(connection: Connection) -> dict[int, tuple[BoundaryReading, list[BoundaryReading]]]:
    """The latest reading of each meter that is believed, and those since whose registers are not, by meter id."""
    columns = (
        "extract(epoch FROM r.boundary)::int8, extract(epoch FROM r.read_at)::float8, r.import_register_wh,"
        " r.export_register_wh, r.active_power_w, r.voltage_l1_v, r.voltage_l2_v, r.voltage_l3_v, r.interpolated"
    )
    believed = (
        "SELECT DISTINCT ON (meter_id) meter_id, boundary FROM register_reading WHERE implausible IS NULL"
        " ORDER BY meter_id, boundary DESC"
    )
    cursor = await connection.execute(
        f"SELECT r.meter_id, {columns} FROM ({believed}) l JOIN register_reading r"  # noqa: S608 - constants from above
        " ON r.meter_id = l.meter_id AND r.boundary >= l.boundary"
        # Not all that these were doubted for is kept.
        " WHERE r.implausible IS NULL OR r.implausible <> ALL (%s) ORDER BY r.meter_id, r.boundary".encode(),
        [list(MOMENT_FAULTS)],
    )
    known: dict[int, tuple[BoundaryReading, list[BoundaryReading]]] = {}
    for meter, boundary_s, at_s, import_wh, export_wh, power_w, *voltages_v, interpolated in await cursor.fetchall():
        reading = BoundaryReading(
            int(str(boundary_s)),
            float(str(at_s)),
            Registers(
                int(str(import_wh)),
                int(str(export_wh)),
                ABSENT if power_w is None else int(str(power_w)),
                tuple(float(str(volts)) for volts in voltages_v),  # type: ignore[arg-type]  # three of them
            ),
            interpolated=interpolated is True,
        )
        if (found := known.get(int(str(meter)))) is None:
            known[int(str(meter))] = reading, []
        else:
            found[1].append(reading)
    return known


async def last_failures(connection: Connection) -> dict[int, str]:
    """The outcome of the latest poll of each meter that failed, by meter id; none where that one was answered."""
    cursor = await connection.execute(
        "SELECT DISTINCT ON (meter_id) meter_id, outcome FROM poll_failure f WHERE NOT EXISTS (SELECT"
        " FROM register_reading r WHERE r.meter_id = f.meter_id AND r.boundary >= f.boundary)"
        " ORDER BY meter_id, boundary DESC"
    )
    return {int(str(meter)): str(outcome) for meter, outcome in await cursor.fetchall()}


def _values(row: RegisterRow) -> tuple[float | None, ...]:
    registers = row.reading.registers
    return (
        registers.import_register_wh,
        registers.export_register_wh,
        None if registers.active_power_w == ABSENT else registers.active_power_w,
        *registers.voltages_v,
        *(registers.channels.get(name) for name in REACTIVE_REGISTERS),
        row.reading.interpolated,
    )
