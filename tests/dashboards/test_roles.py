"""What the roles of dashboards may and may not do, on real servers, by real logins."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from dashboards.roles import ROLES, create_roles, show_schema
from headend.store.migrate import migrate
from tests.headend.services import Postgres
from tests.timescale.servers import LOADED, apache_cluster, skipped_if_lacking

REPOSITORY = Path(__file__).parents[2]
DASHBOARDS, HOUSEHOLDS = ROLES
PASSWORDS = {DASHBOARDS: "one's", HOUSEHOLDS: "two"}
SCHEMA = "headend"
BOTH = pytest.mark.parametrize("role", ROLES)


@dataclass(frozen=True)
class Store:
    postgres: Postgres

    def connect(self, role: str | None = None) -> psycopg.Connection[tuple[Any, ...]]:
        """As the owner, or by a role's own login."""
        if role is None:
            return psycopg.connect(self.postgres.url(), autocommit=True)
        return psycopg.connect(self.postgres.url(role, PASSWORDS[role]), autocommit=True)


def by_init_script(postgres: Postgres, directory: Path) -> None:
    """As Compose does it: the script that its database runs when its cluster is made."""
    for name, role in (("grafana_database_password", DASHBOARDS), ("grafana_households_password", HOUSEHOLDS)):
        (directory / name).write_text(PASSWORDS[role] + "\n")
    (directory / "headend_database_password").write_text("three\n")
    environment = {
        **os.environ,
        "AMILAB_SECRETS": str(directory),
        "AMILAB_ROLE_SQL": str(REPOSITORY / "dashboards/role.sql"),
        "AMILAB_HEADEND_ROLE_SQL": str(REPOSITORY / "headend/role.sql"),
        "POSTGRES_USER": "postgres",
        "POSTGRES_DB": "postgres",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(postgres.port),
        "PGPASSWORD": "secret",
    }
    subprocess.run(["sh", REPOSITORY / "compose/database/init.sh"], check=True, env=environment, capture_output=True)


@pytest.fixture(scope="module", params=["embedded", "compose"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with ExitStack() as stack:
        if request.param == "compose":
            stack.enter_context(skipped_if_lacking())
            postgres = stack.enter_context(apache_cluster(LOADED))
            by_init_script(postgres, tmp_path_factory.mktemp("secrets"))
            psycopg.connect(postgres.url("amilab_headend", "three")).close()
        else:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="roles-")))
            directory.chmod(0o755)
            postgres = Postgres(directory / "cluster")
            postgres.start()
            stack.callback(postgres.stop)
            with psycopg.connect(postgres.url(), autocommit=True) as connection:
                create_roles(connection, password=PASSWORDS[DASHBOARDS], households_password=PASSWORDS[HOUSEHOLDS])
        migrate(postgres.url(), SCHEMA)
        migrate(postgres.url(), "another")
        found = Store(postgres)
        with found.connect() as connection:
            connection.execute("REVOKE USAGE ON SCHEMA another FROM amilab_dashboards, amilab_households")
            assert show_schema(connection, SCHEMA)
        yield found


WRITES = (
    "INSERT INTO load_test_sample VALUES ('r', now(), 'client', 'm', 1)",
    "UPDATE outage SET withdrawn_at = now()",
    "DELETE FROM interruption",
    "TRUNCATE device_state",
    "DROP TABLE collector",
    "ALTER TABLE network_device ADD COLUMN x int",
    "CREATE TABLE mine (x int)",
    "CREATE TABLE public.mine (x int)",
    "CREATE TEMPORARY TABLE mine (x int)",
    "CREATE SCHEMA mine",
    "CREATE ROLE mine",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "GRANT SELECT ON outage TO PUBLIC",
    "ALTER ROLE amilab_dashboards CONNECTION LIMIT -1",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "COPY (SELECT 1) TO '/tmp/amilab-role-test'",
    "SELECT lo_create(0)",
)


@BOTH
@pytest.mark.parametrize("statement", WRITES)
def test_nothing_can_be_written(store: Store, role: str, statement: str) -> None:
    with (
        store.connect(role) as connection,
        pytest.raises((psycopg.errors.InternalError, psycopg.ProgrammingError)) as e,
    ):
        connection.execute(statement.encode())
    assert e.value.sqlstate in ("25006", "42501"), "read-only transaction, or no right"


@BOTH
@pytest.mark.parametrize("statement", [s for s in WRITES if not s.startswith("GRANT")])
def test_rights_forbid_it_even_where_the_default_is_lifted(store: Store, role: str, statement: str) -> None:
    with store.connect(role) as connection:
        connection.execute("SET default_transaction_read_only = off")
        with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidGrantOperation)):
            connection.execute(statement.encode())


@BOTH
@pytest.mark.parametrize("store", ["compose"], indirect=True)
def test_other_databases_of_a_cluster_of_the_labs_own_are_closed(store: Store, role: str) -> None:
    """In them nobody has taken away what everybody may: temporary tables and large objects, which fill the disk."""
    with pytest.raises(psycopg.OperationalError, match='permission denied for database "template1"'):
        psycopg.connect(store.postgres.url(role, PASSWORDS[role]), dbname="template1")


@BOTH
def test_no_relation_of_any_schema_can_be_written(store: Store, role: str) -> None:
    with store.connect() as connection:
        writable = connection.execute(
            "SELECT c.oid::regclass::text FROM pg_class c, unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) p"
            " WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f') AND has_table_privilege(%s, c.oid, p)"
            " AND c.relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema')",
            [role],
        ).fetchall()
    assert writable == []


SECRETS = (
    "SELECT payload FROM dead_letter",
    "SELECT detail FROM dead_letter",
    "SELECT params FROM command",
    "SELECT counter FROM command",
    "SELECT * FROM command",
    "SELECT command_counter FROM end_device",
    "SELECT * FROM _yoyo_migration",
    "SELECT * FROM pg_authid",
    "SELECT pg_read_file('/etc/hostname')",
    "SELECT * FROM another.outage",
)
OF_HOUSEHOLDS = (
    "SELECT import_wh FROM interval_reading",
    "SELECT import_register_wh FROM interval_reading",
    "SELECT * FROM interval_reading",
    "SELECT * FROM stored_reading",
    "SELECT * FROM last_reading",
    "SELECT * FROM reading_hourly",
    "SELECT * FROM reading_daily",
    "SELECT * FROM register_reading",
    "SELECT * FROM other_reading",
    "SELECT * FROM on_demand_reading",
)


@BOTH
@pytest.mark.parametrize("statement", SECRETS)
def test_secrets_cannot_be_seen(store: Store, role: str, statement: str) -> None:
    with store.connect(role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement.encode())


@pytest.mark.parametrize("statement", OF_HOUSEHOLDS)
def test_only_one_role_sees_what_households_used(store: Store, statement: str) -> None:
    with store.connect(DASHBOARDS) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement.encode())
    with store.connect(HOUSEHOLDS) as connection:
        connection.execute(statement.encode())


def test_the_view_without_households_has_no_energy(store: Store) -> None:
    with store.connect(DASHBOARDS) as connection:
        columns = connection.execute("SELECT * FROM network_reading").description or []
    assert [column.name for column in columns if column.name.endswith(("_wh", "_w"))] == []


@BOTH
def test_limits_are_set(store: Store, role: str) -> None:
    with store.connect(role) as connection:
        shown = {
            name: (connection.execute(f"SHOW {name}").fetchone() or ("",))[0]
            for name in ("statement_timeout", "lock_timeout", "default_transaction_read_only", "search_path")
        }
    assert shown == {
        "statement_timeout": "15s",
        "lock_timeout": "2s",
        "default_transaction_read_only": "on",
        "search_path": "headend, public",
    }


def test_connections_are_limited(store: Store) -> None:
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(store.connect(DASHBOARDS))
        with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
            store.connect(DASHBOARDS)


def test_a_slow_query_is_ended(store: Store) -> None:
    with store.connect(DASHBOARDS) as connection:
        # The same limit, of which one need not wait for the end.
        connection.execute("SET statement_timeout = '50ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT count(*) FROM generate_series(1, 1000000000)")


def test_the_next_start_of_a_head_end_takes_back_what_is_not_meant(store: Store) -> None:
    with store.connect() as connection:
        connection.execute(f"GRANT SELECT, INSERT ON {SCHEMA}.dead_letter TO amilab_dashboards")
        connection.execute(f"CREATE TABLE IF NOT EXISTS {SCHEMA}.later (x int)")
    migrate(store.postgres.url(), SCHEMA)
    with store.connect(DASHBOARDS) as connection:
        connection.execute("SELECT reason FROM dead_letter")
        for statement in ("SELECT payload FROM dead_letter", "SELECT * FROM later"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())


def test_passwords_can_be_changed(store: Store) -> None:
    with store.connect() as connection:
        create_roles(connection, password="new", households_password=PASSWORDS[HOUSEHOLDS])
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            store.connect(DASHBOARDS)
        psycopg.connect(store.postgres.url(DASHBOARDS, "new")).close()
        create_roles(connection, password=PASSWORDS[DASHBOARDS], households_password=PASSWORDS[HOUSEHOLDS])
    store.connect(DASHBOARDS).close()
