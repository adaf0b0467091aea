"""How long the head-end's records beside interval readings stay: nothing drops them but `amilab db maintain`.

They are ordinary tables in every edition, since what one device may fill of them is bounded (headend/reads/budgets.py).
Counted back from the database's clock; for interval readings see headend/store/timescale.py.
"""

from dataclasses import dataclass

import psycopg
from psycopg import sql

_ROWS_AT_ONCE = 20_000


@dataclass(frozen=True, slots=True)
class Kept:
    """A relation whose old rows may go. `age`: the instant that says how old a row is. `unless`: a row r that stays."""

    relation: str
    age: str
    unless: str | None = None


RELATIONS = {
    kept.relation: kept
    for kept in (
        Kept("other_reading", "received_at"),
        Kept("implausible_reading", "received_at"),
        Kept("end_device_event", "received_at"),
        Kept("dead_letter", "received_at"),
        Kept("doubtful_interruption", "received_at"),
        # With their steps, and what was read by them.
        Kept("command", "requested_at", unless="r.finished_at IS NULL"),
        # What an outage is derived from, as long as anybody looks at it (headend/outages/doubt.py): the command keeps
        # 42 days.
        Kept("interruption", "down_at"),
        Kept("poll_failure", "noted_at"),
        # Intervals go on from the last poll that is believed.
        Kept(
            "register_reading",
            "boundary",
            unless="NOT EXISTS (SELECT FROM register_reading n WHERE n.meter_id = r.meter_id"
            " AND n.boundary > r.boundary AND n.implausible IS NULL)",
        ),
        # A gap that is forgotten while a meter may still be asked would be asked for again: the command keeps 42 days.
        Kept("interval_gap", "noted_at"),
        # The last change of a meter says how it is now.
        Kept(
            "device_communication",
            "at",
            unless="NOT EXISTS (SELECT FROM device_communication n WHERE n.meter_id = r.meter_id AND n.at > r.at)",
        ),
    )
}


def drop_older_rows(connection: psycopg.Connection, relation: str, days: int) -> int:
    """Remove the rows of one of RELATIONS that are older. Returns how many; a transaction for each 20,000."""
    kept = RELATIONS[relation]
    removed = 0
    statement = sql.SQL(
        "DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT r.ctid FROM {table} r"
        " WHERE r.{age} < now() - make_interval(days => %s) AND NOT ({unless}) LIMIT %s))"
    ).format(
        table=sql.Identifier(kept.relation),
        age=sql.Identifier(kept.age),
        unless=sql.SQL(kept.unless or "false"),
    )
    while True:
        found = connection.execute(statement, [days, _ROWS_AT_ONCE]).rowcount
        removed += found
        if found < _ROWS_AT_ONCE:
            return removed


def beside_readings(connection: psycopg.Connection) -> str:
    """What is kept beside the interval readings since it cannot be used, in words."""
    row = connection.execute(
        "SELECT (SELECT count(*) FROM implausible_reading), (SELECT count(DISTINCT meter_id) FROM implausible_reading),"
        " (SELECT count(*) FROM dead_letter), (SELECT coalesce(sum(copies), 0) FROM dead_letter)"
    ).fetchone()
    assert row is not None, "an aggregate answers one row"
    implausible, meters, letters, copies = row
    kept = f"{_counted(implausible, 'implausible interval')} of {_counted(meters, 'meter')}"
    return f"{kept}, {_counted(letters, 'dead letter')} for {_counted(copies, 'message')}"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
