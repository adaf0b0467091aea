"""What runs leave in a project's database: which is shown, which goes, and what nobody but a person drops."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from typer.testing import CliRunner

from dashboards.roles import create_roles, shown_schema
from headend.store.migrate import migrate
from lab.commands.compose_runs import app
from lab.containers.init import init_project
from lab.containers.runs import (
    StoredRun,
    begin_run,
    drop,
    drop_oldest,
    end_run,
    keep,
    keep_all,
    show,
    size_of,
    stored_runs,
)
from lab.errors import UserError
from lab.services.database_role import HEADEND_ROLE, make_headend_role
from tests.headend.services import Postgres


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    # pytest's own temporary directories are closed to the user that PostgreSQL runs as.
    directory = Path(tempfile.mkdtemp(prefix="runs-"))
    directory.chmod(0o755)
    postgres = Postgres(directory / "cluster")
    postgres.start()
    yield postgres
    postgres.stop()
    shutil.rmtree(directory)


class Lab:
    """A database as a project has it."""

    def __init__(self, server: Postgres) -> None:
        self.admin = server.new_database("lab")
        self.url = server.url(HEADEND_ROLE, "secret", database="lab")
        make_headend_role(self.admin, "secret")
        with psycopg.connect(self.admin, autocommit=True) as connection:
            create_roles(connection, password="a", households_password="b")

    def run(self, name: str, *, demonstration: bool = False) -> None:
        begin_run(self.admin, self.url, f"amilab_{name}", name, demonstration=demonstration)
        # As much of a head-end's schema as makes it one.
        with psycopg.connect(self.url, autocommit=True) as connection:
            for table in ("_yoyo_migration (migration_id text)", "interval_reading ()"):
                connection.execute(f"CREATE TABLE amilab_{name}.{table}")

    @property
    def runs(self) -> list[StoredRun]:
        with psycopg.connect(self.admin, autocommit=True) as connection:
            return stored_runs(connection)

    @property
    def names(self) -> list[str]:
        return [run.name for run in self.runs]

    @property
    def shown(self) -> str | None:
        with psycopg.connect(self.admin, autocommit=True) as connection:
            return shown_schema(connection)


@pytest.fixture
def lab(server: Postgres) -> Lab:
    return Lab(server)


def test_the_oldest_go_when_there_are_more_than_are_kept(lab: Lab) -> None:
    for name in "abc":
        lab.run(name)
    assert drop_oldest(lab.admin, 3, keeping="amilab_c") == []
    assert drop_oldest(lab.admin, 2, keeping="amilab_c") == ["a"]
    assert lab.names == ["b", "c"]
    assert drop_oldest(lab.admin, 1, keeping="amilab_c") == ["b"]
    assert lab.names == ["c"]


def test_what_somebody_keeps_or_has_restored_or_was_there_before_stays(lab: Lab) -> None:
    migrate(lab.url, "headend")  # of a release in which all runs shared it
    for name in "ab":
        lab.run(name)
    keep_all(lab.admin, "restored")
    for name in "cd":
        lab.run(name)
    keep(lab.admin, "c", "mine")
    assert drop_oldest(lab.admin, 1, keeping="amilab_d") == []
    assert lab.names == ["headend", "a", "b", "c", "d"]
    assert {run.name: run.kept for run in lab.runs if run.name != "headend"} == {
        "a": "restored",
        "b": "restored",
        "c": "mine",
        "d": None,
    }
    keep(lab.admin, "a", None)
    assert drop_oldest(lab.admin, 1, keeping="amilab_d") == ["a"]


def test_a_demonstration_goes_when_the_next_begins_and_takes_no_run_s_place(lab: Lab) -> None:
    lab.run("a")
    for name in ("d1", "d2"):
        lab.run(name, demonstration=True)
    assert drop_oldest(lab.admin, 1, keeping="amilab_d2") == ["d1"]
    lab.run("b")
    assert drop_oldest(lab.admin, 2, keeping="amilab_b") == []
    assert lab.names == ["a", "d2", "b"]


def test_one_is_chosen_and_the_latest_follows_when_it_is_dropped(lab: Lab) -> None:
    for name in "abc":
        lab.run(name)
    assert show(lab.admin, "a").schema == lab.shown == "amilab_a"
    with psycopg.connect(lab.url) as connection:
        assert connection.execute("SELECT current_schema").fetchone() == ("amilab_a",)
    assert drop(lab.admin, ["b"], under_way=None) is None
    assert lab.shown == "amilab_a"
    assert drop(lab.admin, ["amilab_a"], under_way=None) == "c"
    assert lab.shown == "amilab_c"


def test_nothing_is_dropped_if_one_of_them_cannot_be(lab: Lab) -> None:
    for name in "ab":
        lab.run(name)
    with pytest.raises(UserError) as caught:
        drop(lab.admin, ["a", "x", "y"], under_way=None)
    assert caught.value.faults == ("nothing is stored of a run x", "nothing is stored of a run y")
    with pytest.raises(UserError, match="the run b is under way"):
        drop(lab.admin, ["a", "b"], under_way="b")
    assert lab.names == ["a", "b"]


def test_a_run_that_stored_nothing_leaves_nothing(lab: Lab) -> None:
    begin_run(lab.admin, lab.url, "amilab_early", "early")
    end_run(lab.admin, "amilab_early")
    lab.run("a")
    end_run(lab.admin, "amilab_a")
    with psycopg.connect(lab.admin) as connection:
        found = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'amilab%'").fetchall()
    assert found == [("amilab_a",)]


@pytest.mark.parametrize(
    "said",
    ["", "{", "[]", "null", json.dumps({"run": "a"}), json.dumps({"by": "amilab run"}), "[" * 100_000],
    ids=lambda said: said[:40],
)
def test_a_comment_that_is_none_of_ours_is_no_harm(lab: Lab, said: str) -> None:
    lab.run("a")
    with psycopg.connect(lab.url, autocommit=True) as connection:
        connection.execute("COMMENT ON SCHEMA amilab_a IS " + sql.Literal(said).as_string(connection))
    assert lab.names == ["amilab_a"]


def test_a_schema_is_known_by_its_name_however_that_is_written(lab: Lab) -> None:
    """Others than we may make one: it is no run because it is called nearly like one, and stops none."""
    lab.run("a")
    with psycopg.connect(lab.url, autocommit=True) as connection:
        for schema in ("AMILAB_a", "amilab.a b", 'a"b'):
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
            for table, columns in (("_yoyo_migration", "migration_id text"), ("interval_reading", "x int")):
                name = sql.Identifier(schema, table)
                connection.execute(sql.SQL("CREATE TABLE {} ({})").format(name, sql.SQL(columns)))
    assert drop_oldest(lab.admin, 1, keeping="amilab_b") == ["a"]
    with psycopg.connect(lab.admin, autocommit=True) as connection:
        found = stored_runs(connection)
        assert {run.schema for run in found if run.kept} == {"AMILAB_a", "amilab.a b", 'a"b'}
        assert [size_of(connection, run.schema).readings for run in found] == [0, 0, 0]


def test_a_name_in_a_comment_controls_no_terminal(lab: Lab) -> None:
    begin_run(lab.admin, lab.url, "amilab_evil", "\x1b[2Jgone")
    with psycopg.connect(lab.url, autocommit=True) as connection:
        for table in ("_yoyo_migration (migration_id text)", "interval_reading ()"):
            connection.execute(f"CREATE TABLE amilab_evil.{table}")
    assert lab.names[0].isprintable()


def test_a_schema_writes_no_escape_sequences_to_whoever_lists_it(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The head-end's role may call its schemas what it likes, and so may a backup of them."""
    lab.run("evil")
    evil = "\x1b]0;pwned\x07\u202e[/]\n▶ another run"
    with psycopg.connect(lab.url, autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER SCHEMA amilab_evil RENAME TO {}").format(sql.Identifier(evil)))
        connection.execute(sql.SQL("COMMENT ON SCHEMA {} IS NULL").format(sql.Identifier(evil)))

    async def url(_: object) -> str:
        return lab.admin

    async def programs(_: object) -> None: ...

    monkeypatch.setattr("lab.containers.database.admin_url", url)
    monkeypatch.setattr("lab.containers.database.ContainerPrograms.of", programs)
    init_project(compose_files(tmp_path), debian=False, force=False)
    directory = ["--directory", str(tmp_path)]
    listed = CliRunner().invoke(app, ["list", *directory])
    shown = CliRunner().invoke(app, ["show", evil, *directory])
    for answer in (listed, shown):
        assert answer.exit_code == 0, answer.output
        assert "pwned" in answer.output
        assert all(letter.isprintable() or letter == "\n" for letter in answer.output)
        assert not any(line.startswith("▶ another") for line in answer.output.splitlines())


def compose_files(directory: Path) -> Path:
    (directory / "compose.yaml").touch()
    return directory
