"""What each run in containers has stored: a schema of its own in the project's database, and which of them is shown.

A schema's comment says which run made it. What nobody but a person made or restored is never dropped by the lab.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql

from dashboards.roles import show_schema, shown_schema
from headend.store.features import extension_version
from lab.errors import UserError
from lab.services.database_role import HEADEND_ROLE
from lab.services.database_session import session
from lab.services.row_counts import rows_of, schemas_of
from lab.wording import printable_line

_NAME = "amilab run"
_LIST_HINT = "`amilab compose runs list` has them."


@dataclass(frozen=True, slots=True)
class StoredRun:
    """`name`: of the run, or of the schema where no run is known. `began`: an ISO instant, "" if not known.

    `kept`: why it is never dropped but by a person; None: it goes when it is no more among the last. A demonstration
    goes when the next one begins, and counts for nothing.
    """

    schema: str
    name: str
    began: str
    kept: str | None
    shown: bool
    demonstration: bool


@dataclass(frozen=True, slots=True)
class Size:
    readings: int
    bytes: int


def begin_run(admin_url: str, url: str, schema: str, run: str, *, demonstration: bool = False) -> None:
    """Make the schema of a run, as the head-end's role of `url`."""
    with _connected(url) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    with _connected(admin_url) as connection:
        facts = {"run": run, "began": datetime.now(UTC).isoformat(timespec="milliseconds")}
        _note(connection, schema, facts | ({"demonstration": "yes"} if demonstration else {}))


def end_run(admin_url: str, schema: str) -> None:
    """A run that stored nothing leaves nothing. If the database is away, it is found at the next look."""
    try:
        with _connected(admin_url) as connection:
            if schema not in schemas_of(connection):
                _drop(connection, schema)
    except psycopg.OperationalError:
        return


def stored_runs(connection: psycopg.Connection[Any]) -> list[StoredRun]:
    """What is stored, the oldest first; what is of no known run before all."""
    shown = shown_schema(connection)
    found = []
    for schema in schemas_of(connection):
        facts = _facts(connection, schema)
        kept = facts.get("kept") if facts else "no run of this release has made it"
        found.append(
            StoredRun(
                schema,
                facts.get("run", printable_line(schema)),
                facts.get("began", ""),
                kept,
                shown=schema == shown,
                demonstration="demonstration" in facts,
            )
        )
    return sorted(found, key=lambda run: (run.began, run.schema))


def size_of(connection: psycopg.Connection[Any], schema: str) -> Size:
    """How many interval readings a schema has, and the room that its tables take, chunks included."""
    taken = "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::int8 FROM pg_class WHERE relkind = 'r' AND"
    own = "relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = %s)"
    tables = connection.execute(f"{taken} {own}", [schema]).fetchone()
    chunks = None
    if extension_version(connection) is not None:
        chunks = connection.execute(
            f"{taken} oid IN (SELECT format('%%I.%%I', chunk_schema, chunk_name)::regclass"  # noqa: S608
            " FROM timescaledb_information.chunks WHERE hypertable_schema = %s)",
            [schema],
        ).fetchone()
    readings = rows_of(connection, schema).get("interval_reading", 0)
    return Size(readings, sum(int(found[0]) for found in (tables, chunks) if found is not None))


def drop_oldest(admin_url: str, kept: int, *, keeping: str) -> list[str]:
    """Drop runs that are not among the last `kept`, with the one that begins now, `keeping`. Returns which."""
    with _connected(admin_url) as connection:
        demonstration = "demonstration" in _facts(connection, keeping)
        passing = [
            run
            for run in stored_runs(connection)
            if run.kept is None and run.schema != keeping and run.demonstration == demonstration
        ]
        gone = passing if demonstration else passing[: max(0, len(passing) - (kept - 1))]
        for run in gone:
            _drop(connection, run.schema)
    return [run.name for run in gone]


def drop(admin_url: str, names: Sequence[str], *, under_way: str | None) -> str | None:
    """Drop these, by the names of runs or schemas. Returns what is shown then, if that is another than before.

    :raises UserError: there is no such run, or it is `under_way`. Then none was dropped.
    """
    with _connected(admin_url) as connection:
        chosen = _chosen(connection, names)
        if busy := [run.name for run in chosen if run.name == under_way]:
            raise UserError([f"the run {name} is under way" for name in busy], "Wait for its end, or interrupt it.")
        for run in chosen:
            _drop(connection, run.schema)
        left = stored_runs(connection)
        if not left or not any(run.shown for run in chosen):
            return None
        _show(connection, left[-1].schema)
        return left[-1].name


def show(admin_url: str, name: str) -> StoredRun:
    """Let dashboards' roles, and the head-end's, find this run from their next session on. Raises UserError."""
    with _connected(admin_url) as connection:
        (run,) = _chosen(connection, [name])
        _show(connection, run.schema)
        return run


def keep(admin_url: str, name: str, why: str | None) -> StoredRun:
    """Have the lab never drop this run by itself; or, with `why` None, as any other. Raises UserError."""
    with _connected(admin_url) as connection:
        (run,) = _chosen(connection, [name])
        facts = {key: value for key, value in _facts(connection, run.schema).items() if key != "kept"}
        _note(connection, run.schema, {"run": run.name, **facts, **({} if why is None else {"kept": why})})
        return run


def keep_all(admin_url: str, why: str) -> None:
    """Have the lab drop none of those that are there by itself."""
    with _connected(admin_url) as connection:
        names = [run.schema for run in stored_runs(connection) if run.kept is None]
    for name in names:
        keep(admin_url, name, why)


def _chosen(connection: psycopg.Connection[Any], names: Sequence[str]) -> list[StoredRun]:
    there = stored_runs(connection)
    found = {name: [run for run in there if name in (run.name, run.schema)] for name in names}
    faults = [f"nothing is stored of a run {name}" for name, runs in found.items() if not runs]
    faults += [
        f"{name} are several: {', '.join(run.schema for run in runs)}" for name, runs in found.items() if len(runs) > 1
    ]
    if faults:
        raise UserError(faults, _LIST_HINT)
    return [runs[0] for runs in found.values()]


def _show(connection: psycopg.Connection[Any], schema: str) -> None:
    if not show_schema(connection, schema, [HEADEND_ROLE]):
        raise UserError("dashboards' roles are not there", "docs/dashboards.md says how they are made.")


def _drop(connection: psycopg.Connection[Any], schema: str) -> None:
    connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))


def _note(connection: psycopg.Connection[Any], schema: str, facts: dict[str, str]) -> None:
    said = sql.Literal(json.dumps({"by": _NAME, **facts}))
    connection.execute(sql.SQL("COMMENT ON SCHEMA {} IS {}").format(sql.Identifier(schema), said))


def _facts(connection: psycopg.Connection[Any], schema: str) -> dict[str, str]:
    """What the schema's comment says; nothing if it is not ours. Its owner may write it: believed as text only."""
    row = connection.execute(
        "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = %s", [schema]
    ).fetchone()
    try:
        said = json.loads(row[0]) if row and row[0] else {}
    except (ValueError, RecursionError):  # the latter of thousands of brackets
        return {}
    if not isinstance(said, dict) or said.get("by") != _NAME:
        return {}
    return {str(key): printable_line(str(value)) for key, value in said.items() if key != "by"}


@contextmanager
def _connected(url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(session(url), autocommit=True, connect_timeout=5) as connection:
        yield connection
