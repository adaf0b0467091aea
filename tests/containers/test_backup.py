"""Back-up and restoration of a project with real containers, and what several runs leave in its database."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from headend.store.migrate import migrate
from lab.containers.backup_manifest import digest_of, part_of
from tests.containers.conftest import SETTINGS, Project, half_an_hour, image_of, until
from tests.containers.test_compose import passed_verdict

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1200)]

READINGS = "SELECT serial, interval_start, import_wh FROM stored_reading ORDER BY 1, 2"


def lived_through(project: Project, tmp_path: Path, name: str, meters: int) -> str:
    """Returns the run's name."""
    scenario = half_an_hour(tmp_path, meters=meters, name=name)
    verdict = passed_verdict(project, tmp_path, str(scenario))
    assert verdict["reads"]["stored"] == 2 * meters
    return (tmp_path / "latest").resolve().name


def shown(project: Project) -> list[tuple[object, ...]]:
    """What Grafana's data source of households sees."""
    password = (project.directory / "secrets" / "grafana_households_password").read_text()
    address = f"127.0.0.1:{SETTINGS['AMILAB_DATABASE_PORT']}/amilab"
    with psycopg.connect(f"postgresql://amilab_households:{password}@{address}") as connection:
        return connection.execute(READINGS).fetchall()


def said(answer: subprocess.CompletedProcess[str], code: int = 0) -> str:
    words = answer.stdout + answer.stderr
    assert answer.returncode == code, words[-3000:]
    assert "Traceback" not in words
    return words


def without(backup: Path, key: str) -> None:
    """As of a release that did not have this key yet."""
    archive, manifest = backup / "keys.tar", json.loads((backup / "manifest.json").read_text())
    with tarfile.open(archive) as found:
        kept = [(entry, found.extractfile(entry)) for entry in found.getmembers() if entry.name != key]
        contents = [(entry, file.read() if file else b"") for entry, file in kept]
    with tarfile.open(archive, "w") as made:
        for entry, content in contents:
            made.addfile(entry, io.BytesIO(content))
    manifest["parts"]["keys.tar"] = part_of(archive).model_dump()
    (backup / "manifest.json").write_text(json.dumps(manifest))


def secrets_of(project: Project) -> list[bytes]:
    return [path.read_bytes() for path in (project.directory / "secrets").glob("*_password")]


@contextmanager
def command_lines() -> Iterator[set[bytes]]:
    """What `ps` shows of any process meanwhile, those in containers among them."""
    seen: set[bytes] = set()
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            for place in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(place.read_bytes())
                except OSError:
                    continue

    watching = threading.Thread(target=look)
    watching.start()
    try:
        yield seen
    finally:
        over.set()
        watching.join()


def test_a_lab_that_was_lost_is_back_with_all_that_it_had(project: Project, tmp_path: Path) -> None:
    first = lived_through(project, tmp_path, "first", 20)
    before = shown(project)
    backup = tmp_path / "backup"
    with command_lines() as seen:
        words = said(project.amilab("compose", "backup", str(backup)))
    assert any(b"pg_dump" in line for line in seen)
    assert not [line for line in seen for secret in secrets_of(project) if secret in line]
    assert "40 interval readings" in words
    assert {oct(path.stat().st_mode & 0o777) for path in backup.iterdir()} == {"0o600"}
    assert f"digest {digest_of((backup / 'manifest.json').read_bytes())}" in words
    assert "--digest is another" in said(project.amilab("compose", "restore", str(backup), "--digest", "0" * 64), 2)
    assert "is there already" in said(project.amilab("compose", "backup", str(backup)), 2)

    refused = said(project.amilab("compose", "restore", str(backup)), 2)
    assert "the lab is running: " in refused
    assert "--replace" in refused
    assert shown(project) == before

    second = lived_through(project, tmp_path, "second", 4)
    assert len(shown(project)) == 8, "the last run is shown"
    project.compose("stop", "--timeout", "2")
    refused = said(project.amilab("compose", "restore", str(backup)), 2)
    assert "the database is not empty" in refused

    project.compose("down", "--volumes", "--timeout", "2")
    shutil.rmtree(project.directory / "secrets")
    shutil.rmtree(project.directory / "state")
    (project.directory / ".env").unlink()
    without(backup, "secrets/link-outages.key")
    with command_lines() as seen:
        words = said(
            project.amilab(
                "compose", "restore", str(backup), "--digest", digest_of((backup / "manifest.json").read_bytes())
            )
        )
    assert any(b"pg_restore" in line for line in seen)
    assert not [line for line in seen for secret in secrets_of(project) if secret in line]
    assert "40 of 40 readings are back" in words
    project.compose("up", "--detach", "--no-build", "--wait", "database")
    assert shown(project) == before
    listed = said(project.amilab("compose", "runs", "list"))
    assert f"▶ {first}" in listed
    assert "kept: restored from the backup of" in listed
    assert second not in listed

    third = lived_through(project, tmp_path, "third", 4)
    assert len(shown(project)) == 8
    assert f"{first} is shown" in said(project.amilab("compose", "runs", "show", first))
    assert shown(project) == before
    url = f"postgresql://amilab_headend@127.0.0.1:{SETTINGS['AMILAB_DATABASE_PORT']}/amilab"
    password = (project.directory / "secrets" / "headend_database_password").read_text()
    status = project.amilab("db", "status", "--database-url", url, environment={"PGPASSWORD": password})
    assert said(status).startswith("schema amilab_first")
    assert f"dropped: {first}; {third} is shown now" in said(project.amilab("compose", "runs", "drop", first))
    assert len(shown(project)) == 8


def test_a_backup_takes_the_place_of_another_lab_and_its_keys_stay_aside(project: Project, tmp_path: Path) -> None:
    project.compose("down", "--volumes", "--timeout", "2")
    lived_through(project, tmp_path, "theirs", 6)
    before, backup = shown(project), tmp_path / "backup"
    said(project.amilab("compose", "backup", str(backup)))
    project.compose("down", "--volumes", "--timeout", "2")
    shutil.rmtree(project.directory / "secrets")
    said(project.amilab("compose", "init"))
    ours = secrets_of(project)
    lived_through(project, tmp_path, "ours", 2)
    refused = said(project.amilab("compose", "restore", str(backup)), 2)
    assert "has other keys than the backup" in refused
    assert "6 of 6" not in refused
    assert len(shown(project)) == 4

    part = backup / "database.dump"
    whole = part.read_bytes()
    part.write_bytes(whole[:-100])
    assert "database.dump has " in said(project.amilab("compose", "restore", str(backup), "--replace"), 2)
    assert len(shown(project)) == 4
    manifest = json.loads((backup / "manifest.json").read_text())
    part.write_bytes(whole)

    # A backup that says more of itself than it has: what was there is as it was.
    more = tmp_path / "more"
    shutil.copytree(backup, more)
    (schema,) = manifest["schemas"]
    manifest["schemas"][schema]["rows"]["interval_reading"] = 13
    (more / "manifest.json").write_text(json.dumps(manifest))
    refused = said(project.amilab("compose", "restore", str(more), "--replace"), 2)
    assert f"{schema}.interval_reading has 12 of 13 rows" in refused
    project.compose("up", "--detach", "--no-build", "--wait", "database")
    assert len(shown(project)) == 4

    words = said(project.amilab("compose", "restore", str(backup), "--replace"))
    assert "12 of 12 readings are back" in words
    (kept,) = project.directory.glob("secrets.replaced-*")
    assert kept.stat().st_mode & 0o777 == 0o700
    assert [path.read_bytes() for path in kept.glob("*_password")] == ours
    project.compose("up", "--detach", "--no-build", "--wait", "database")
    assert shown(project) == before
    shutil.rmtree(kept)


WITH_AN_OLDER_ONE_TOO = """\
FROM {image}
USER 0
RUN set -eu; export LC_ALL=C lib=/usr/lib/postgresql/17/lib extension=/usr/share/postgresql/17/extension; \\
    new=$(sed -n "s/^default_version = '\\(.*\\)'/\\1/p" $extension/timescaledb.control); \\
    sed "s/$new/{old}/g" $lib/timescaledb-$new.so >$lib/timescaledb-{old}.so; \\
    sed "s/$new/{old}/g" $extension/timescaledb--$new.sql >$extension/timescaledb--{old}.sql; \\
    [ -z "{as_default}" ] || sed -i "s/$new/{old}/" $extension/timescaledb.control
USER postgres
"""
"""As an official image, which has the versions before its own. The older one is the newer one under another name, and
TimescaleDB's own script brings what it made up to date."""
OLD = "2.19.2"


def test_a_newer_timescaledb_brings_what_was_restored_up_to_date(project: Project, tmp_path: Path) -> None:
    for name, as_default in (("older", "yes"), ("both", "")):
        text = WITH_AN_OLDER_ONE_TOO.format(image=image_of("database"), old=OLD, as_default=as_default)
        build = ["docker", "build", "--quiet", "--tag", image_of("database", name), "-"]
        subprocess.run(build, input=text, text=True, check=True, capture_output=True)
    project.compose("down", "--volumes", "--timeout", "2")
    backup = tmp_path / "backup"
    of = {name: {"AMILAB_VERSION": name} for name in ("older", "both")}
    try:
        start(project, of["older"])
        made(project, "amilab_run")
        said(project.amilab("compose", "backup", str(backup), environment=of["older"]))
        assert json.loads((backup / "manifest.json").read_text())["timescaledb"] == OLD
        project.compose("down", "--volumes", "--timeout", "2")
        # Debian's image has one version.
        assert f"TimescaleDB {OLD}, and this server offers" in said(
            project.amilab("compose", "restore", str(backup)), 2
        )
        words = said(project.amilab("compose", "restore", str(backup), environment=of["both"]))
        assert "2,880 of 2,880 readings are back" in words
        start(project, of["both"])
        with psycopg.connect(superuser(project)) as connection:
            row = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'").fetchone()
            assert row is not None
            assert row[0] > OLD
            assert connection.execute("SELECT count(*) FROM amilab_run.interval_reading").fetchone() == (2880,)
            chunks = "SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_schema = 'amilab_run'"
            assert connection.execute(chunks).fetchone() == (10,)
    finally:
        project.compose("down", "--volumes", "--timeout", "2")


def superuser(project: Project) -> str:
    password = (project.directory / "secrets" / "database_password").read_text()
    return f"postgresql://amilab:{password}@127.0.0.1:{SETTINGS['AMILAB_DATABASE_PORT']}/amilab"


def start(project: Project, environment: Mapping[str, str]) -> None:
    """The database alone, of another image."""
    up = ["docker", "compose", "up", "--detach", "--no-build", "--wait", "database"]
    subprocess.run(up, cwd=project.directory, env={**os.environ, **environment}, check=True, capture_output=True)


def made(project: Project, schema: str) -> None:
    """Ten days of three meters, as a head-end of this release has them."""
    migrate(superuser(project), schema)
    with psycopg.connect(superuser(project), autocommit=True) as connection:
        connection.execute(
            f"INSERT INTO {schema}.interval_reading (meter_id, interval_length_s, interval_start, device_time,"
            " received_at, committed_at, import_wh, revision, quality, origin) SELECT m, 900, t, t, t, t, 7, 0, 0, 0"
            " FROM generate_series(1, 3) m, generate_series('2026-01-01'::timestamptz, '2026-01-10 23:45', '15 min') t"
        )


def test_a_volume_of_the_official_image_is_refused_and_left_alone(project: Project, tmp_path: Path) -> None:
    project.compose("down", "--timeout", "2")
    volume = f"{SETTINGS['AMILAB_PROJECT']}_database-data"
    image = ["--user", "0", "--entrypoint", "sh", image_of("database"), "-c"]

    def within(script: str) -> str:
        command = ["docker", "run", "--rm", "--volume", f"{volume}:/volume", *image, script]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    subprocess.run(["docker", "volume", "rm", "--force", volume], check=True, capture_output=True)
    within("echo 17 >/volume/PG_VERSION; echo readings >/volume/precious; chown -R 70:70 /volume; chmod 700 /volume")
    try:
        project.compose("up", "--detach", "--no-build", "database")
        until(
            lambda: "is closed to this image's user" in project.compose("logs", "database"), "the refusal of the volume"
        )
        within("chown -R postgres /volume")
        until(
            lambda: (
                "was made by the official image, and this container is of Debian's packages"
                in project.compose("logs", "database")
            ),
            "the refusal of the other image's data",
        )
        ran = project.amilab("run", "quickstart", "--compose", "--out", str(tmp_path))
        assert f"✗ the volume {volume} was made by the official image" in said(ran, 2)
        assert within("cat /volume/precious") == "readings\n"
    finally:
        project.compose("down", "--volumes", "--timeout", "2")
