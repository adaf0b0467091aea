"""`amilab dashboards push` against Grafana's API: what it sends, that a second one sends nothing, what goes wrong."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from typer.testing import CliRunner, Result

from dashboards.alerts import RULES
from dashboards.catalogue import DASHBOARDS
from lab.commands.main import app
from tests.dashboards.grafana_server import TOKEN, FakeGrafana, serving

DATABASE = "postgresql://amilab_dashboards:p%2F1@database:5432/amilab?sslmode=disable"
EVERYTHING = 2 + 2 + len(DASHBOARDS) + 1


@pytest.fixture
def grafana() -> FakeGrafana:
    return FakeGrafana()


@pytest.fixture
def url(grafana: FakeGrafana) -> Iterator[str]:
    with serving(grafana) as url:
        yield url


def push(url: str, *arguments: str, token: str | None = TOKEN, database: str | None = DATABASE) -> Result:
    given = [*(["--token", token] if token else []), *(["--database-url", database] if database else []), *arguments]
    return CliRunner().invoke(app, ["dashboards", "push", "--url", url, *given])


def refused(result: Result, *words: str) -> None:
    """Exit code 2 with a message that has these words, and no traceback."""
    assert result.exit_code == 2, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    for word in words:
        assert word in result.output


@pytest.fixture
def run_directory(tmp_path: Path) -> Path:
    """As much of a run's record as is read here."""
    host = {
        "cpu_count": 2, "cpu_model": "c", "memory_gib": 1.0, "python": "3.11", "database": "PostgreSQL 15",
        "timescaledb": None, "broker": "mosquitto",
    }  # fmt: skip
    context = {
        "scenario": "quickstart",
        "seed": 7,
        "host": host,
        "feeder": {"name": "schutterwald", "buses": 1, "usage_points": 1, "transformers": 1},
        "clock": {"start_s": 1_767_225_600, "simulated_s": 86_400, "wall_s": 30.0},
        "ingest": None,
        "rejected_frames": 0,
        "collectors": 0,
        "headend": "amilab",
    }
    events = [
        {"time_s": 1_767_250_000.0, "kind": "outage", "label": "transformer T1 out", "until_s": 1_767_257_200.0},
        {"time_s": 1_767_260_000.0, "kind": "reboot", "label": "M7 reboots", "until_s": None},
    ]
    directory = tmp_path / "2026-01-01-quickstart"
    directory.mkdir()
    (directory / "run.json").write_text(json.dumps({"context": context, "events": events, "targets": {}}))
    return directory


def test_a_push_brings_everything(grafana: FakeGrafana, url: str) -> None:
    result = push(url)
    assert result.exit_code == 0, result.output
    assert f"{EVERYTHING} sent, 0 as they were" in result.output
    assert set(grafana.dashboards) == {dashboard.uid for dashboard in DASHBOARDS}
    assert grafana.dashboards["amilab-meter"]["meta"]["folderUid"] == "amilab-households"
    assert {rule["title"] for rule in grafana.groups["amilab", "amilab"]["rules"]} == {rule.title for rule in RULES}
    assert grafana.passwords == {"amilab": "p/1", "amilab-households": "p/1"}
    assert grafana.sources["amilab-households"]["user"] == "amilab_households"
    # So that people may still edit them.
    assert {rule["provenance"] for rule in grafana.groups["amilab", "amilab"]["rules"]} == {""}


def test_a_second_push_sends_nothing(grafana: FakeGrafana, url: str, run_directory: Path) -> None:
    assert push(url, "--run", str(run_directory)).exit_code == 0
    sent = len(grafana.writes)
    again = push(url, "--run", str(run_directory))
    assert again.exit_code == 0, again.output
    assert "0 sent" in again.output
    assert len(grafana.writes) == sent
    assert len(grafana.annotations) == 2


def test_what_somebody_changed_is_brought_back(grafana: FakeGrafana, url: str) -> None:
    push(url)
    grafana.dashboards["amilab-feeder"]["dashboard"]["title"] = "Mine"
    grafana.groups["amilab", "amilab"]["rules"].pop()
    grafana.folders["amilab"]["title"] = "Ours"
    grafana.sources["amilab"]["url"] = "elsewhere:5432"
    result = push(url)
    assert "4 sent" in result.output
    assert grafana.dashboards["amilab-feeder"]["dashboard"]["title"] == "Feeder"
    assert grafana.dashboards["amilab-feeder"]["dashboard"]["version"] == 2
    assert len(grafana.groups["amilab", "amilab"]["rules"]) == len(RULES)
    assert grafana.folders["amilab"]["title"] == "amilab"
    assert grafana.sources["amilab"]["url"] == "database:5432"


def test_a_dashboard_in_another_folder_is_brought_back(grafana: FakeGrafana, url: str) -> None:
    push(url)
    grafana.dashboards["amilab-meter"]["meta"]["folderUid"] = "amilab"
    assert "1 sent" in push(url).output
    assert grafana.dashboards["amilab-meter"]["meta"]["folderUid"] == "amilab-households"


def test_the_marks_of_a_run_are_those_of_its_record(grafana: FakeGrafana, url: str, run_directory: Path) -> None:
    result = push(url, "--run", str(run_directory))
    assert "from=1767224700000&to=1767312900000" in result.output
    outage, reboot = grafana.annotations
    assert (outage["time"], outage["timeEnd"]) == (1_767_250_000_000, 1_767_257_200_000)
    assert outage["text"] == "transformer T1 out"
    assert set(outage["tags"]) == {"amilab", "run:2026-01-01-quickstart", "outage"}
    assert reboot["time"] == reboot["timeEnd"] == 1_767_260_000_000


def test_a_second_run_adds_its_own_marks(grafana: FakeGrafana, url: str, run_directory: Path) -> None:
    push(url, "--run", str(run_directory))
    other = run_directory.rename(run_directory.with_name("another-run"))
    push(url, "--run", str(other))
    assert len(grafana.annotations) == 4


def test_without_a_database_the_data_sources_stay(grafana: FakeGrafana, url: str) -> None:
    push(url)
    assert "0 sent" in push(url, database=None).output


def test_passwords_are_sent_again_only_when_told(grafana: FakeGrafana, url: str) -> None:
    push(url)
    assert "0 sent" in push(url, database=DATABASE.replace("p%2F1", "new")).output
    renewed = push(
        url, "--renew-passwords", "--households-password", "other", database=DATABASE.replace("p%2F1", "new")
    )
    assert "2 sent" in renewed.output
    assert grafana.passwords == {"amilab": "new", "amilab-households": "other"}


def test_no_secret_is_said(url: str) -> None:
    output = push(url).output
    assert "p/1" not in output
    assert TOKEN not in output


def test_below_a_path(grafana: FakeGrafana, url: str) -> None:
    """Behind a proxy Grafana has a path, which the calls keep."""
    result = push(f"{url}/grafana/")
    refused(result, "(404)")
    assert grafana.requests == [("GET", "/grafana/api/health")]


def test_a_wrong_token(grafana: FakeGrafana, url: str) -> None:
    refused(push(url, token="glsa_wrong"), "does not know the token", "Service accounts")
    assert grafana.writes == []


def test_no_token(url: str) -> None:
    refused(push(url, token=None), "no token for Grafana was given", "GRAFANA_TOKEN")


def test_a_token_that_may_not_write(grafana: FakeGrafana, url: str) -> None:
    grafana.role = "Viewer"
    refused(push(url), "the token may not do this", "role Admin")


def test_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    refused(push(f"http://127.0.0.1:{port}"), "no Grafana answers", f"127.0.0.1:{port}")


def test_something_else_listens() -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        refused(push(f"http://127.0.0.1:{server.server_port}"), "not like a Grafana")
        server.shutdown()


@pytest.mark.parametrize("hidden", [False, True])
def test_an_older_grafana(grafana: FakeGrafana, url: str, hidden: bool) -> None:
    grafana.version, grafana.hides_version = "10.4.3", hidden
    refused(push(url), "Grafana 10.4.3 is too old", "11.0 or newer")
    assert grafana.writes == []


def test_somebody_saves_meanwhile(grafana: FakeGrafana, url: str) -> None:
    push(url)
    grafana.dashboards["amilab-feeder"]["dashboard"]["title"] = "Mine"

    def save(grafana: FakeGrafana) -> None:
        grafana.dashboards["amilab-feeder"]["dashboard"]["version"] += 1

    grafana.before_save = save
    refused(push(url), "dashboard Feeder", "changed by someone else", "Push again")
    assert grafana.dashboards["amilab-feeder"]["dashboard"]["title"] == "Mine"


def test_a_data_source_of_that_name_is_there(grafana: FakeGrafana, url: str) -> None:
    grafana.sources["x"] = {"name": "amilab", "uid": "x", "version": 1, "id": 1, "secureJsonFields": {}}
    refused(push(url), "data source amilab", "same name", "rename or remove")


def test_a_provisioned_dashboard(grafana: FakeGrafana, url: str) -> None:
    grafana.provisioned.add("amilab-operations")
    refused(push(url), "dashboard Operations", "provisioning files", "dashboards/generated/")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("mysql://u:p@h/d", "does not begin with postgresql://"),
        ("postgresql://h/d", "it has no password of the role amilab_dashboards"),
        ("postgresql://u:p@h", "it names no database"),
        ("postgresql://u:p@h:no/d", "its port is no number"),
    ],
)
def test_a_wrong_database_url(grafana: FakeGrafana, url: str, address: str, words: str) -> None:
    refused(push(url, database=address), words)
    assert grafana.requests == []


@pytest.mark.parametrize("address", ["localhost:3000", "ftp://h", "http://admin:admin@h"])
def test_a_wrong_url(address: str) -> None:
    refused(push(address), "URL")


def test_a_directory_without_a_record(url: str, tmp_path: Path) -> None:
    refused(push(url, "--run", str(tmp_path)), "run.json does not exist")
