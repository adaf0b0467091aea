"""A seeded head-end's schema on each of the three databases, read as the roles of dashboards read it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from dashboards.macros import expand
from dashboards.model import Dashboard
from dashboards.roles import create_roles
from tests.dashboards.seed import DAYS, LAST_DAY, seed
from tests.timescale.schema import Schema
from tests.timescale.servers import SERVERS, Server, run_server

CHOICES = {"transformer": "transformer:T1", "usage_point": "UP2", "run": "ramp-1"}


@dataclass(frozen=True)
class Table:
    columns: list[str]
    rows: list[tuple[Any, ...]]


@dataclass(frozen=True)
class Seeded:
    """The last day of the seed, and the choices of `CHOICES`, unless told otherwise."""

    schema: Schema

    @property
    def edition(self) -> str:
        return self.schema.server.edition

    def expanded(self, sql: str, *, interval: str = "15m") -> str:
        return expand(sql, from_time=LAST_DAY[0], to_time=LAST_DAY[1], interval=interval, variables=CHOICES)

    def read(self, sql: str, role: str) -> Table:
        """What the SQL answers to this role."""
        with self.schema.connect() as connection:
            try:
                connection.execute(f"SET ROLE {role}")
                cursor = connection.execute(self.expanded(sql).encode())
                return Table([column.name for column in cursor.description or ()], cursor.fetchall())
            finally:
                # PGlite has one session for all connections.
                connection.execute("RESET ROLE")

    def plan(self, sql: str) -> dict[str, Any]:
        with self.schema.connect() as connection:
            (found,) = connection.execute(f"EXPLAIN (FORMAT JSON) {self.expanded(sql)}".encode()).fetchone() or ([],)
        plan: dict[str, Any] = found[0]["Plan"]
        return plan


def role_of(dashboard: Dashboard) -> str:
    return "amilab_households" if dashboard.households else "amilab_dashboards"


# The wheel's PostgreSQL is plain, as the system's is.
@pytest.fixture(scope="session", params=[name for name in SERVERS if name != "wheel"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with run_server(request.param) as server:
        yield server


@pytest.fixture(scope="session")
def seeded(server: Server) -> Seeded:
    schema = Schema(server, "headend")
    with psycopg.connect(server.url, autocommit=True) as connection:
        if server.edition == "community":
            # PGlite cannot change a database's rights. What the roles may read in the schema is the same.
            connection.execute("CREATE ROLE amilab_dashboards")
            connection.execute("CREATE ROLE amilab_households IN ROLE amilab_dashboards")
        else:
            create_roles(connection, password="p1", households_password="p2")
    schema.migrate()
    with schema.connect() as connection:
        seed(connection)
    return Seeded(schema)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The nodes of a plan, from the top."""
    yield plan
    below: Sequence[dict[str, Any]] = plan.get("Plans", ())
    for child in below:
        yield from nodes(child)


GROWING = ("interval_reading", "register_reading", "other_reading", "interval_gap")
_CONDITIONS = ("Index Cond", "Recheck Cond")


def unbounded(sql: str, seeded: Seeded) -> list[str]:
    """Scans of the plan that grow with the database's age: of the seed's ten days a query for one may touch two chunks,
    and where there are none, only what an index on the time finds.
    """
    scans = [node for node in nodes(seeded.plan(sql)) if "Relation Name" in node]
    chunks = {node["Relation Name"] for node in scans if node["Relation Name"].startswith("_hyper_")}
    # A meter's newest reading is looked for by its key, the newest chunk first, until it is found.
    newest = "last_reading" in sql
    found = sorted(chunks) if len(chunks) > (DAYS + 1 if newest else 2) else []
    for node in scans:
        name, kind = node["Relation Name"], node["Node Type"]
        conditions = " ".join(str(node[key]) for key in _CONDITIONS if key in node)
        if name in GROWING and kind == "Seq Scan" and not _is_small(name, seeded):
            found.append(f"Seq Scan on {name}")
        if name == "interval_reading" and kind != "Seq Scan" and "interval_start" not in conditions and not newest:
            found.append(f"{kind} on {name} by {conditions!r}")
    return found


def _is_small(name: str, seeded: Seeded) -> bool:
    """A table of a few pages, of which no planner would look into an index. On a hypertable the parent is empty."""
    return name != "interval_reading" and bool(
        seeded.schema.rows("SELECT relpages <= 8 FROM pg_class WHERE oid = to_regclass(%s)", name)[0][0]
    )
