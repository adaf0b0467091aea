"""Outages in the database: what they are derived from, and how the result is kept, inside the caller's transaction."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headend.drivers import StatusFlag
from headend.outages.doubt import HORIZON_S
from headend.outages.follow import NEVER_S, Outage, Report, Sightings
from headend.store.database import Connection

_POWER_BITS = int(StatusFlag.POWER_DOWN | StatusFlag.POWER_UP)
_WINDOW_S = 60.0
_LONGEST_CHAIN_S = 3600.0


async def take_pending(connection: Connection) -> list[float]:
    """The instants of loss that changed since the last time; with the transaction they are dealt with."""
    cursor = await connection.execute(
        "UPDATE interruption SET pending = false WHERE pending RETURNING extract(epoch FROM down_at)::float8"
    )
    return [_float(row[0]) for row in await cursor.fetchall()]


async def count_pending(connection: Connection) -> int:
    """How many reports nobody has looked at."""
    cursor = await connection.execute("SELECT count(*) FROM interruption WHERE pending")
    row = await cursor.fetchone()
    assert row is not None
    return int(_float(row[0]))


async def believed(connection: Connection, now_s: float) -> list[tuple[int, float, float | None]]:
    """(meter id, lost, back) of the interruptions within the horizon, the latest first."""
    cursor = await connection.execute(
        "SELECT meter_id, extract(epoch FROM down_at)::float8, extract(epoch FROM up_at)::float8 FROM interruption"
        " WHERE down_at >= to_timestamp(%s) ORDER BY down_at DESC",
        [now_s - HORIZON_S],
    )
    return [(int(_float(row[0])), _float(row[1]), _maybe(row[2])) for row in await cursor.fetchall()]


async def outages_in_progress(connection: Connection, *, since_s: float, now_s: float) -> list[float]:
    """`reported_from` of the outages that last, or ended after `since_s`. None that began before the horizon lasts."""
    cursor = await connection.execute(
        "SELECT extract(epoch FROM reported_from)::float8 FROM outage"
        " WHERE withdrawn_at IS NULL AND ended_at IS NULL AND began_at >= to_timestamp(%s)"
        " UNION SELECT extract(epoch FROM reported_from)::float8 FROM outage"
        " WHERE withdrawn_at IS NULL AND ended_at > to_timestamp(%s)",
        [now_s - HORIZON_S, since_s],
    )
    return [_float(row[0]) for row in await cursor.fetchall()]


async def outages_between(connection: Connection, from_s: float, to_s: float) -> list[float]:
    """`reported_from` of the outages that lasted at some instant of [from_s, to_s]."""
    cursor = await connection.execute(
        "SELECT DISTINCT extract(epoch FROM reported_from)::float8 FROM outage WHERE withdrawn_at IS NULL"
        " AND began_at <= to_timestamp(%s) AND (ended_at IS NULL OR ended_at >= to_timestamp(%s))",
        [to_s, from_s],
    )
    return [_float(row[0]) for row in await cursor.fetchall()]


async def chain_around(
    connection: Connection, instant_s: float, index_of: dict[int, int], *, together_s: float
) -> list[Report]:
    """The reports of losses that hang together with one at `instant_s`: none lies `together_s` from its neighbour."""
    reach_s = _WINDOW_S
    while True:
        reports = await _reports(
            connection,
            "down_at BETWEEN to_timestamp(%s) AND to_timestamp(%s)",
            [instant_s - reach_s, instant_s + reach_s],
            index_of,
        )
        chain = _chain(reports, instant_s, together_s)
        if not chain:
            return []
        first_s, last_s = chain[0].down_s, chain[-1].down_s
        whole = first_s - together_s > instant_s - reach_s and last_s + together_s < instant_s + reach_s
        if whole or reach_s >= _LONGEST_CHAIN_S:
            return chain
        reach_s *= 4


def _chain(reports: Sequence[Report], instant_s: float, together_s: float) -> list[Report]:
    runs: list[list[Report]] = []
    for report in sorted(reports, key=lambda report: report.down_s):
        if runs and report.down_s <= runs[-1][-1].down_s + together_s:
            runs[-1].append(report)
        else:
            runs.append([report])
    for run in runs:
        if run[0].down_s - together_s <= instant_s <= run[-1].down_s + together_s:
            return run
    return []


async def later_reports(
    connection: Connection, meters: Collection[int], after_s: float, ids: Sequence[int], index_of: dict[int, int]
) -> list[Report]:
    """What these meters reported of losses after `after_s`."""
    return await _reports(
        connection,
        "meter_id = ANY(%s) AND down_at > to_timestamp(%s)",
        [[ids[meter] for meter in meters], after_s],
        index_of,
    )


async def dark_already(connection: Connection, instant_s: float, index_of: dict[int, int]) -> list[Report]:
    """All reports since the horizon of the meters that may have been dark at `instant_s` from an earlier loss."""
    return await _reports(
        connection,
        "down_at >= to_timestamp(%s) AND meter_id IN ("
        "SELECT meter_id FROM interruption WHERE down_at < to_timestamp(%s) AND up_at > to_timestamp(%s)"
        " UNION SELECT meter_id FROM interruption"
        " WHERE down_at < to_timestamp(%s) AND down_at >= to_timestamp(%s) AND up_at IS NULL)",
        [instant_s - HORIZON_S, instant_s, instant_s, instant_s, instant_s - HORIZON_S],
        index_of,
    )


async def _reports(
    connection: Connection, where: str, arguments: Sequence[object], index_of: dict[int, int]
) -> list[Report]:
    columns = ", ".join(
        f"extract(epoch FROM {name})::float8"
        for name in ("down_at", "up_at", "gasp_received_at", "restore_received_at")
    )
    # A transformer's meter has no customer: what it says is kept, and is no evidence of whom an outage darkens.
    customers = "meter_id NOT IN (SELECT meter_id FROM transformer_meter)"
    cursor = await connection.execute(
        f"SELECT meter_id, {columns} FROM interruption WHERE {where} AND {customers}".encode(),  # noqa: S608 - constants of this module
        arguments,
    )
    return [
        Report(index_of[int(_float(row[0]))], _float(row[1]), _maybe(row[2]), _maybe(row[3]), _maybe(row[4]))
        for row in await cursor.fetchall()
    ]


@dataclass(frozen=True, slots=True)
class Reach:
    """Which readings speak of a loss at `instant_s`: those of `until_s` at most, of intervals up to `interval_s` long.

    `hold_up_s`: for so long after the loss a meter may still speak on its reserve. `overdue` (n,): the meters whose
    readings that close after that are due by now; of a collector that came back after `back_before_s` none is.
    """

    instant_s: float
    until_s: float
    interval_s: float
    hold_up_s: float
    together_s: float
    overdue: NDArray[np.bool_]
    back_before_s: float


async def sightings(
    connection: Connection, meters: Sequence[int], ids: Sequence[int], index_of: dict[int, int], reach: Reach
) -> Sightings:
    """What the readings of `meters` say. Others stay unseen.

    A reading without a status (of a polled meter) was taken with supply when it ended; of the time before it says
    nothing. An estimated one was not taken at all.
    """
    seen = Sightings.none(len(ids))
    if not len(meters):
        return seen
    cursor = await connection.execute(
        "SELECT meter_id, extract(epoch FROM least(min(greatest(interval_start, to_timestamp(%(at)s)))"
        " FILTER (WHERE status & %(bits)s = 0 AND ends_at > to_timestamp(%(after)s)),"
        " min(ends_at) FILTER (WHERE status IS NULL AND ends_at > to_timestamp(%(held)s))))::float8,"
        " extract(epoch FROM min(ends_at) FILTER (WHERE ends_at > to_timestamp(%(held)s)))::float8"
        " FROM (SELECT meter_id, interval_start, status, interval_start + interval_length_s * interval '1 second'"
        " AS ends_at FROM interval_reading WHERE meter_id = ANY(%(meters)s) AND quality <> 1"
        " AND interval_start >= to_timestamp(%(first)s) AND interval_start < to_timestamp(%(until)s)) AS reading"
        " GROUP BY meter_id",
        {
            "at": reach.instant_s,
            "bits": _POWER_BITS,
            "after": reach.instant_s + 2 * reach.together_s,
            "held": reach.instant_s + reach.hold_up_s,
            "meters": [ids[meter] for meter in meters],
            "first": reach.instant_s - reach.interval_s,
            "until": reach.until_s,
        },
    )
    for meter_id, lit_s, back_by_s in await cursor.fetchall():
        meter = index_of[int(_float(meter_id))]
        if lit_s is not None:
            seen.lit_s[meter] = _float(lit_s)
        if back_by_s is not None:
            seen.back_by_s[meter] = _float(back_by_s)
    asked = np.array(meters, dtype=np.intp)
    seen.silent[asked] = reach.overdue[asked] & (seen.back_by_s[asked] == NEVER_S)
    if seen.silent.any():
        seen.silent[await _unreachable(connection, reach.back_before_s, index_of)] = False
    return seen


async def _unreachable(connection: Connection, back_before_s: float, index_of: dict[int, int]) -> list[int]:
    """The meters of collectors that are away, or have only just come back: their silence says nothing of supply."""
    cursor = await connection.execute(
        "SELECT d.id FROM end_device d JOIN collector c ON (c.device_group, c.edge_node) = (d.device_group, d.address)"
        " WHERE NOT c.online OR c.born_at > to_timestamp(%s)",
        [back_before_s],
    )
    return [index_of[int(_float(row[0]))] for row in await cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class Kept:
    """An outage with its devices, ready for the table. `reported_from_s`: see the table."""

    reported_from_s: float
    outage: Outage
    devices: tuple[str, ...]
    kind: str | None


@dataclass(frozen=True, slots=True)
class Saved:
    """What changed: outages that are new, and ids that are withdrawn."""

    new: tuple[Kept, ...]
    withdrawn: tuple[int, ...]


_Shares = dict[int, tuple[float | None, ...]]


async def save(
    connection: Connection,
    found: Sequence[Kept],
    *,
    from_s: float,
    to_s: float,
    ids: Sequence[int],
    now_s: float,
    together_s: float,
) -> Saved:
    """Make the outages derived from reports of [from_s, to_s] those in `found`. Saving the same again changes nothing.

    An outage keeps its id and the instant of its detection while it begins at the same time and shares customers with
    what it was; what is not found any more is withdrawn.
    """
    known = await _known(connection, from_s - together_s / 2, to_s + together_s / 2)
    new: list[Kept] = []
    for entry in sorted(found, key=lambda entry: (-len(entry.outage.parts), entry.outage.began_s)):
        shares: _Shares = {
            ids[part.meter]: (part.from_s, part.to_s, part.gasp_s, part.back_s) for part in entry.outage.parts
        }
        place = next(
            (
                index
                for index, old in enumerate(known)
                if abs(old.head[1] - entry.outage.began_s) <= together_s and not old.shares.keys().isdisjoint(shares)
            ),
            None,
        )
        device = entry.devices[0] if entry.devices else None
        head = (
            entry.reported_from_s,
            entry.outage.began_s,
            entry.outage.ended_s,
            device,
            entry.kind,
            entry.outage.phase or None,
            entry.devices,
        )
        if place is None:
            await _insert(connection, head, shares, now_s)
            new.append(entry)
            continue
        old = known.pop(place)
        if (old.head, old.shares) != (head, shares):
            await _revise(connection, old.id, head, shares, now_s)
    if known:
        await connection.execute(
            "UPDATE outage SET withdrawn_at = to_timestamp(%s) WHERE id = ANY(%s)", [now_s, [old.id for old in known]]
        )
    return Saved(tuple(new), tuple(old.id for old in known))


_Head = tuple[float, float, float | None, str | None, str | None, str | None, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class _Known:
    id: int
    head: _Head
    shares: _Shares


async def _known(connection: Connection, from_s: float, to_s: float) -> list[_Known]:
    """By detection: where two could be meant, the older one lives on."""
    cursor = await connection.execute(
        "SELECT id, extract(epoch FROM reported_from)::float8, extract(epoch FROM began_at)::float8,"
        " extract(epoch FROM ended_at)::float8, device, device_kind, phase, equivalent_devices FROM outage"
        " WHERE withdrawn_at IS NULL AND reported_from BETWEEN to_timestamp(%s) AND to_timestamp(%s)"
        " ORDER BY detected_at, id",
        [from_s, to_s],
    )
    heads = {
        int(_float(row[0])): (
            _float(row[1]), _float(row[2]), _maybe(row[3]), _text(row[4]), _text(row[5]), _text(row[6]),
            tuple(_texts(row[7])),
        )
        for row in await cursor.fetchall()
    }  # fmt: skip
    shares: dict[int, _Shares] = {id_: {} for id_ in heads}
    cursor = await connection.execute(
        "SELECT outage_id, meter_id, extract(epoch FROM dark_from)::float8, extract(epoch FROM dark_to)::float8,"
        " extract(epoch FROM gasp_received_at)::float8, extract(epoch FROM restore_received_at)::float8"
        " FROM outage_usage_point WHERE outage_id = ANY(%s)",
        [list(heads)],
    )
    for row in await cursor.fetchall():
        shares[int(_float(row[0]))][int(_float(row[1]))] = tuple(_maybe(value) for value in row[2:])
    return [_Known(id_, head, shares[id_]) for id_, head in heads.items()]


def _arguments(head: _Head) -> list[object]:
    return [*head[:6], list(head[6])]


async def _insert(connection: Connection, head: _Head, shares: _Shares, now_s: float) -> None:
    cursor = await connection.execute(
        "INSERT INTO outage (reported_from, began_at, ended_at, device, device_kind, phase, equivalent_devices,"
        " detected_at, revised_at) VALUES (to_timestamp(%s), to_timestamp(%s), to_timestamp(%s), %s, %s, %s,"
        " %s::text[], to_timestamp(%s), to_timestamp(%s)) RETURNING id",
        [*_arguments(head), now_s, now_s],
    )
    row = await cursor.fetchone()
    assert row is not None
    await _insert_shares(connection, int(_float(row[0])), shares)


async def _revise(connection: Connection, id_: int, head: _Head, shares: _Shares, now_s: float) -> None:
    await connection.execute(
        "UPDATE outage SET (reported_from, began_at, ended_at, device, device_kind, phase, equivalent_devices,"
        " revised_at) = (to_timestamp(%s), to_timestamp(%s), to_timestamp(%s), %s, %s, %s, %s::text[],"
        " to_timestamp(%s)) WHERE id = %s",
        [*_arguments(head), now_s, id_],
    )
    await connection.execute("DELETE FROM outage_usage_point WHERE outage_id = %s", [id_])
    await _insert_shares(connection, id_, shares)


async def _insert_shares(connection: Connection, id_: int, shares: _Shares) -> None:
    columns: Iterable[tuple[float | None, ...]] = zip(*shares.values(), strict=True)
    await connection.execute(
        "INSERT INTO outage_usage_point"
        " (outage_id, meter_id, dark_from, dark_to, gasp_received_at, restore_received_at)"
        " SELECT %s, m, to_timestamp(f), to_timestamp(t), to_timestamp(g), to_timestamp(b)"
        " FROM unnest(%s::int[], %s::float8[], %s::float8[], %s::float8[], %s::float8[]) AS s (m, f, t, g, b)",
        [id_, list(shares), *map(list, columns)],
    )


def _float(value: object) -> float:
    assert isinstance(value, int | float)
    return float(value)


def _maybe(value: object) -> float | None:
    return None if value is None else _float(value)


def _text(value: object) -> str | None:
    assert value is None or isinstance(value, str)
    return value


def _texts(value: object) -> list[str]:
    assert isinstance(value, list)
    return value
