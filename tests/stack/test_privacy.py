"""What a run shows to others on its machine while it lives, and what it leaves: nothing that is not theirs."""

from __future__ import annotations

import asyncio
import io
import os
import re
import secrets
import shutil
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
import zmq
from rich.console import Console

from lab.loadtest.progress import LoadProgress
from lab.loadtest.run import LoadRequest, run_shape
from lab.loadtest.settings import parse_settings
from lab.scenario.load import FleetChoice
from lab.services import postgres as embedded
from lab.services.host import unprivileged_identity
from tests import left_out
from tests.stack.command import temporary_directory, wait_for
from tests.stack.labs import live, scenario_text
from tests.stack.live import live_lab
from tests.stack.test_loadtest import PATIENT

LEAST_SECRET = 12
"""Characters; what is shorter is a part of a name."""
EVENTS = """
[[event]]
kind = "kill"
part = "headend"
at = "00:30:00"
down = "2min"
[[event]]
kind = "kill"
part = "database"
at = "00:50:00"
down = "2min"
"""


@dataclass
class Watched:
    """A run that was kept, and what was seen of it."""

    out: Path
    kept: Path
    printed: str
    secrets: set[str] = field(default_factory=set)
    lines: set[str] = field(default_factory=set)
    """Command lines of all processes of the machine."""
    environments: set[bytes] = field(default_factory=set)
    """Of processes of other users."""
    open_places: set[str] = field(default_factory=set)
    """Files and directories that others may read, write or pass through."""
    died: list[BaseException] = field(default_factory=list)

    def look(self, places: list[Path]) -> None:
        for process in psutil.process_iter():
            try:
                self.lines.add("\0".join(process.cmdline()))
                if process.uids().real != os.geteuid():
                    self.environments.add(Path(f"/proc/{process.pid}/environ").read_bytes())
            except (psutil.Error, OSError):
                continue
        for place in places:
            for path in below(place):
                try:
                    mode = path.lstat().st_mode
                except OSError:
                    continue
                if mode & 0o077 and not stat.S_ISLNK(mode):
                    self.open_places.add(f"{stat.S_IMODE(mode):o} {path}")


def below(place: Path) -> Iterator[Path]:
    """A directory and all that is in it; `Path.rglob` would fail where a part goes away meanwhile."""
    yield place
    for directory, directories, files in os.walk(place):
        yield from (Path(directory, name) for name in (*directories, *files))


def remembering(found: set[str], make: Callable[..., Any]) -> Callable[..., Any]:
    """What makes passwords, with an ear to it."""

    def made(*arguments: Any) -> Any:
        value = make(*arguments)
        for each in value if isinstance(value, tuple) else (value,):
            text = each.decode("latin-1") if isinstance(each, bytes) else each
            if len(text) >= LEAST_SECRET:
                found.add(text)
        return value

    return made


def live_a_day(out: Path) -> None:
    live(out, scenario_text(meters=40, duration="90min", events=EVENTS, fleet='preset = "bakeoff"'), keep=True)


def load(out: Path) -> None:
    settings = parse_settings(PATIENT, "test.toml")
    request = LoadRequest(settings, FleetChoice(), 7, out, keep=True, workers=2)
    asyncio.run(run_shape(request, settings.shapes["short"], LoadProgress(Console(file=io.StringIO()))))


@pytest.fixture(
    scope="module",
    params=[("mosquitto", live_a_day), ("iotcore", live_a_day), ("mosquitto", load)],
    ids=["certificates", "passwords", "load"],
)
def watched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A small day with all of its parts, on a broker with certificates, or with passwords; or a load test."""
    broker, act = request.param
    out = tmp_path_factory.mktemp("out") / "runs"
    out.mkdir(mode=0o755)
    with temporary_directory() as temporary:
        # What is set here is not for the tests that come later.
        with pytest.MonkeyPatch.context() as patch:
            seen = Watched(out, temporary, "")
            patch.setenv("AMILAB_BROKER", broker)
            patch.setattr("tempfile.tempdir", str(temporary))
            patch.setenv("AMILAB_DATABASE_URL", "postgresql://me:of-the-environment@db/lab")
            seen.secrets.add("of-the-environment")
            for name in ("token_urlsafe", "token_hex"):
                patch.setattr(secrets, name, remembering(seen.secrets, getattr(secrets, name)))
            public_too: set[str] = set()
            patch.setattr(zmq, "curve_keypair", remembering(public_too, zmq.curve_keypair))
            printed: list[str] = []
            patch.setattr(
                "rich.console.Console.print", lambda _self, *words, **_more: printed.append(" ".join(map(str, words)))
            )
            over = threading.Event()

            def look() -> None:
                try:
                    while not over.wait(0.2):
                        seen.look([*temporary.glob("amilab-*"), *out.glob("*Z")])
                except BaseException as error:
                    seen.died.append(error)

            looking = threading.Thread(target=look)
            looking.start()
            before = os.umask(0o022)
            try:
                act(out)
            finally:
                os.umask(before)
                over.set()
                looking.join()
            seen.secrets |= public_too
            (seen.kept,) = temporary.glob("amilab-*")
            seen.printed = "\n".join(printed)
            seen.look([seen.kept, *out.glob("*Z")])
        yield seen


def test_no_password_stands_in_a_command_line(watched: Watched) -> None:
    assert watched.died == []
    for program in ("lab.parts.headend", "lab.parts.fleet", "postgres"):
        assert any(program in line for line in watched.lines), f"{program} was not seen"
    # Public halves of keys are no secrets, but need not stand there either.
    assert len(watched.secrets) > 10
    assert [line for line in watched.lines if any(secret in line for secret in watched.secrets)] == []


@pytest.mark.skipif(os.geteuid() != 0, reason=left_out.reason(*left_out.TWO_USERS))
def test_no_password_is_in_the_environment_of_another_users_process(watched: Watched) -> None:
    assert any(b"AMILAB_RUN=" in environment for environment in watched.environments), "the services were seen"
    shown = [e for e in watched.environments for secret in watched.secrets if secret.encode() in e]
    assert shown == []


def test_files_and_directories_are_for_nobody_else(watched: Watched) -> None:
    # Under root the services have another user, who must get past this directory; and to PostgreSQL's programs.
    passed = {f"711 {watched.kept}"} if unprivileged_identity() is not None else set()
    wheel = f"{watched.kept}/{embedded.WHEEL}"
    assert {place for place in watched.open_places - passed if wheel not in place} == set()


def test_a_directory_of_runs_that_was_there_keeps_its_mode(watched: Watched) -> None:
    assert stat.S_IMODE(watched.out.stat().st_mode) == 0o755


def test_what_is_left_has_no_keys(watched: Watched) -> None:
    assert {path.name for path in watched.kept.iterdir()} <= {embedded.DATA, embedded.WHEEL, "memory"}
    assert list((watched.kept / "memory").glob("*.sqlite"))
    (run,) = watched.out.glob("*Z")
    searched = 0
    for place in (watched.kept, run):
        for path in place.rglob("*"):
            if path.is_file() and embedded.WHEEL not in path.parts:
                content = path.read_bytes()
                searched += 1
                assert b"PRIVATE KEY" not in content, path
                assert [s for s in watched.secrets if s.encode() in content] == [], path
    assert searched > 100


def serves(data: Path) -> bool:
    try:
        psycopg.connect(host=str(data), user="amilab_headend", dbname="amilab").close()
    except psycopg.OperationalError:
        return False
    return True


def test_the_database_that_is_left_is_reached_as_is_said(watched: Watched, tmp_path: Path) -> None:
    command = re.search(r"serve its database again: (.+)", watched.printed)
    assert command is not None, watched.printed
    data = watched.kept / embedded.DATA
    log = (tmp_path / "log").open("w")
    server = subprocess.Popen(command[1].split(), stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_for(lambda: serves(data) or server.poll() is not None, "the database")
        with psycopg.connect(host=str(data), user="amilab_headend", dbname="amilab") as connection:
            rows = connection.execute("SELECT count(*) FROM amilab.interval_reading").fetchone()
            assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
        assert rows is not None
        assert rows[0] >= 40
    finally:
        children = psutil.Process(server.pid).children()
        (children[-1] if children else server).terminate()
        server.wait(60)
        log.close()
    assert shutil.which("psql") is None or "psql -h" in watched.printed
    assert "TABLE amilab.stored_reading" in watched.printed


def test_a_browser_that_is_started_is_given_no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told, browser = tmp_path / "told", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{told}.new && mv {told}.new {told}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    with live_lab(scenario_text(meters=30, duration="1h"), "--open") as lab:
        token = lab.url.partition("token=")[2]
        wait_for(told.exists, "the browser")
        address = told.read_text().strip()
        assert token not in address
        assert token in Path(urlsplit(address).path).read_text()
