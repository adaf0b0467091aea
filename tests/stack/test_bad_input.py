"""Bad input and bad surroundings, through the real command line.

A clear message and exit code 2, or a counted, kept dead letter; never a traceback, never a lost reading.
"""

from __future__ import annotations

import json
import os
import re
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from lab.services.ports import ReservedPort
from tests import left_out
from tests.headend.services import Mosquitto, Postgres
from tests.stack.command import Command, running, temporary_directory, wait_for
from tests.stack.labs import REPOSITORY, amilab, scenario_text

SECRET = "s3cr3t-and-wrong"
A_MOMENT_S = 1.0
"""At 3,600 × real time a tenth of eight hours passes in less, and is printed."""
MIB = 1 << 20


@pytest.fixture
def temporary() -> Iterator[Path]:
    with temporary_directory() as directory:
        yield directory


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A database that somebody else runs."""
    with temporary_directory() as directory:
        directory.chmod(0o755)
        server = Postgres(directory / "postgres")
        server.start()
        yield server
        server.stop()


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker that somebody else runs, with a password, without an access list."""
    broker = Mosquitto(tmp_path / "mosquitto")
    broker.start()
    yield broker
    broker.kill()


def broker_url(broker: Mosquitto) -> str:
    return f"mqtt://headend:secret@127.0.0.1:{broker.port}"


def scenario(directory: Path, **more: Any) -> Path:
    path = directory / "small.toml"
    path.write_text(scenario_text(meters=30, **more))
    return path


def refusal(*arguments: str | Path, **environment: str) -> str:
    """What `amilab run` says when it refuses."""
    process = amilab("run", *arguments, **environment)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 2, stdout + stderr
    assert "Traceback" not in stdout + stderr
    assert SECRET not in stdout + stderr
    return stderr


def verdict(run: Command) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((run.directory / "verdict.json").read_text())
    return document


# The scenario and the options.

MALFORMED = """\
[scenario]
name = "small"
duration = "a while"
settle = "15min"
seed = -1
[feeder]
name = "schutterwald"
[fleet]
profile = "rl-dsp"
colour = "red"
[[event]]
at = "00:20"
kind = "kill"
part = "grid"
down = "1min"
"""


def test_every_fault_of_a_scenario_and_of_the_options_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "malformed.toml"
    path.write_text(MALFORMED)
    said = refusal(path, "--speed", "fast", "--duration", "tomorrow", "--out", tmp_path / "runs")
    for line, what in ((1, "start"), (3, "a while"), (5, "seed"), (10, "colour"), (14, "part")):
        assert any(f"line {line}" in text and what in text for text in said.splitlines()), (line, what, said)
    assert "--speed is 'fast'" in said
    assert "--duration: 'tomorrow' is not a duration" in said
    assert not (tmp_path / "runs").exists()


def _unboxed(text: str) -> str:
    """Without what a terminal's width does to a message: a box around it, and words that are cut."""
    return re.sub(r"[│\s]", "", text)


CASES = Path(__file__).parents[1] / "cases"


def test_an_unknown_vendor_is_one_clear_line_before_anything_starts(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    path = tmp_path / "fleet.toml"
    path.write_text(scenario_text(fleet="shares = { rl-dsp = 0.5, acme = 0.5 }"))
    (line,) = [text for text in refusal(path, "--out", runs).splitlines() if "acme" in text]
    assert "fleet.toml, line 11: 'acme' is no vendor profile; there are " in line
    (line,) = [text for text in refusal("quickstart", "--fleet", "acme", "--out", runs).splitlines() if "acme" in text]
    assert "no vendor profile 'acme'; known: " in line
    assert "--fleet: the shares sum to 1.2" in refusal("quickstart", "--fleet", "rl-dsp=0.5,sdm630=0.7", "--out", runs)
    said = refusal("quickstart", "--fleet", "file:nowhere.toml", "--out", runs)
    assert "nowhere.toml: cannot be read: [Errno 2] No such file" in said
    assert not runs.exists()


def test_times_in_which_nothing_can_be_judged(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    said = refusal(CASES / "start-before-2000" / "y1999.toml", "--out", runs)
    assert "y1999.toml, line 3: 'start': 1999-06-01T00:00:00+00:00 is before 2000-01-01" in said
    said = refusal("quickstart", "--duration", "36500d", "--out", runs)
    assert "with its settling time the run ends after 2100-01-01" in said
    assert not runs.exists()
    said = refusal(scenario(tmp_path, duration="10min"), "--out", runs, "--meters", "3")
    assert "no interval of 00:15:00 lies whole within the 00:10:00 that are to be judged" in said
    assert "Lengthen `duration` in [scenario]" in said


def test_a_net_that_names_a_module_beside_it(tmp_path: Path) -> None:
    """From the directory in which the run is started, as if it came with the net."""
    (tmp_path / "trap.py").write_text('from pathlib import Path\nPath(__file__).with_name("sprung").touch()\n')
    net = json.loads((CASES / "geometry" / "multiline.json").read_text())
    net["_object"]["extra"] = {"_module": "trap", "_class": "Trap", "_object": "{}"}
    (tmp_path / "net.json").write_text(json.dumps(net))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "lab.commands.main",
            "run",
            scenario(tmp_path),
            "--feeder",
            "file:net.json",
            "--out",
            "runs",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "names the Python module trap, which amilab does not import" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stdout + done.stderr
    assert not (tmp_path / "sprung").exists()


def test_what_is_no_scenario_and_options_that_make_no_sense(tmp_path: Path) -> None:
    binary, broken = tmp_path / "binary.toml", tmp_path / "broken.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    broken.write_text("[scenario]\nname = \n")
    cases: list[tuple[list[str | Path], str]] = [
        (["no-such-scenario"], "no-such-scenario"),
        (["no/such/file.toml"], "no/such/file.toml"),
        ([tmp_path], tmp_path.name),
        ([binary], "is not UTF-8 text"),
        ([broken], "line 2"),
        (["quickstart", "--seed", "-1"], "--seed"),
        (["quickstart", "--speed", "0.5"], "--speed is 0.5"),
        (["quickstart", "--out", binary], "binary.toml"),
        (["quickstart", "--out", binary / "below"], "binary.toml"),
        (["quickstart", "--broker-url", "mqtt://127.0.0.1:1"], "kills the broker"),
    ]
    # Together: each spends most of its time on imports.
    processes = [amilab("run", *arguments) for arguments, _ in cases]
    for process, (arguments, message) in zip(processes, cases, strict=True):
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == 2, arguments
        assert _unboxed(message) in _unboxed(stderr), (arguments, stderr)
        assert "Traceback" not in stdout + stderr


# Somebody else's database and broker.


class _MailServer(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.sendall(b"220 mail.example ESMTP\r\n")
        self.request.recv(1024)


@contextmanager
def mail_server() -> Iterator[int]:
    """The port of a server that speaks neither MQTT nor PostgreSQL's protocol."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _MailServer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_network_faults_without_networks(tmp_path: Path) -> None:
    said = refusal("bad-network", "--out", tmp_path)
    assert said.count("disturbs the network of the fleet") == 2
    assert "add --compose" in said


def test_services_that_are_not_there(tmp_path: Path) -> None:
    with ReservedPort() as first, ReservedPort() as second:
        said = refusal(
            *(scenario(tmp_path), "--out", tmp_path / "runs"),
            *("--database-url", f"postgresql://ann:{SECRET}@127.0.0.1:{first.port}/lab"),
            *("--broker-url", f"mqtt://ann:{SECRET}@127.0.0.1:{second.port}"),
        )
    assert f"nothing listens at 127.0.0.1:{first.port}" in said
    assert f"cannot connect to the broker at 127.0.0.1:{second.port}" in said
    assert "Is the database running" in said
    assert "Is the broker running" in said
    assert not (tmp_path / "runs").exists(), "told before anything was begun"


def test_services_with_another_password(tmp_path: Path, postgres: Postgres, mosquitto: Mosquitto) -> None:
    said = refusal(
        *(scenario(tmp_path), "--out", tmp_path / "runs"),
        *("--database-url", postgres.url(password=SECRET)),
        *("--broker-url", f"mqtt://headend:{SECRET}@127.0.0.1:{mosquitto.port}"),
    )
    assert f"127.0.0.1:{postgres.port} does not accept the password of the user 'postgres'" in said
    assert f"the broker at 127.0.0.1:{mosquitto.port} does not admit the user 'headend'" in said
    assert "Check user name and password in --database-url" in said
    assert "Check user name and password in --broker-url" in said


def test_ports_at_which_something_else_listens(tmp_path: Path) -> None:
    with mail_server() as port:
        said = refusal(
            *(scenario(tmp_path), "--out", tmp_path / "runs"),
            *("--database-url", f"postgresql://ann:{SECRET}@127.0.0.1:{port}/lab"),
            *("--broker-url", f"mqtt://ann:{SECRET}@127.0.0.1:{port}"),
        )
    assert f"what listens at 127.0.0.1:{port} does not speak PostgreSQL's protocol" in said
    assert f"what listens at 127.0.0.1:{port} does not speak MQTT" in said


def test_a_metrics_port_in_use(tmp_path: Path, temporary: Path) -> None:
    with mail_server() as port:
        variable = {"AMILAB_HEADEND_METRICS_PORT": str(port)}
        with running(scenario(tmp_path), out=tmp_path / "runs", temporary=temporary, **variable) as run:
            assert run.end() == 2
            assert run.left_behind(set()) == []
    assert f"metrics port {port}: Address already in use; choose another" in run.stderr


# The disk.


@contextmanager
def small_disk(size_bytes: int) -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="test-"))
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=711", "tmpfs", directory],
            check=False,
            capture_output=True,
            text=True,
        )
        if mounted.returncode != 0:
            left_out.lacking(*left_out.FULL_DISK, in_ci=False)
        try:
            yield directory
        finally:
            subprocess.run(["umount", directory], check=True)
    finally:
        directory.rmdir()


def fill(directory: Path) -> None:
    """Take all that is left."""
    with (directory / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def test_no_room_for_the_results(tmp_path: Path, temporary: Path) -> None:
    with small_disk(2 * MIB) as disk:
        said = refusal(scenario(tmp_path), "--out", disk, TMPDIR=str(temporary))
        assert str(disk) in said
    assert "MiB free; the run needs" in said
    assert "choose another place: --out" in said
    assert list(temporary.iterdir()) == []


def test_no_room_for_the_embedded_database(tmp_path: Path) -> None:
    with (
        small_disk(64 * MIB) as disk,
        running(scenario(tmp_path), out=tmp_path / "runs", temporary=disk) as run,
    ):
        assert run.end() == 2
        assert run.left_behind(set()) == []
        assert f"{disk}" in run.stderr
    assert "MiB free; the run needs" in run.stderr
    assert "TMPDIR for the embedded database" in run.stderr


def test_the_disk_of_the_meters_memory_fills_while_they_record(tmp_path: Path, postgres: Postgres) -> None:
    url = postgres.url()
    with (
        small_disk(16 * MIB) as disk,
        running(
            *(scenario(tmp_path, duration="20h"), "--database-url", url), out=tmp_path / "runs", temporary=disk
        ) as run,
    ):
        run.until_it_lives()
        ports = run.ports()
        fill(disk)
        assert run.end() == 2
        assert run.left_behind(ports) == [str(disk / "filler")]
    assert "no space left for the meters' durable memory" in run.stderr
    assert "TMPDIR" in run.stderr
    assert "Traceback" not in run.stderr + run.stdout


def test_the_disk_of_the_results_fills_before_they_are_written(tmp_path: Path, temporary: Path) -> None:
    with (
        small_disk(20 * MIB) as disk,
        running(scenario(tmp_path, duration="30min"), out=disk, temporary=temporary) as run,
    ):
        run.until_printed("loading the feeder")
        ports = run.ports()
        fill(disk)
        assert run.end() == 2
        assert run.left_behind(ports) == []
    assert "No space left on device" in run.stderr or "no space is left on the disk" in run.stderr
    assert "Free some space, or choose another place: --out for the results" in run.stderr
    assert "Traceback" not in run.stderr + run.stdout


# Services that die and return, and a client that talks nonsense.


def test_a_database_and_a_broker_that_die_and_return(
    tmp_path: Path, temporary: Path, postgres: Postgres, mosquitto: Mosquitto
) -> None:
    path = scenario(tmp_path, duration="8h")
    options = ["--speed", "3600", "--database-url", postgres.url(), "--broker-url", broker_url(mosquitto)]
    with running(path, *options, out=tmp_path / "runs", temporary=temporary) as run:
        run.until_it_lives()
        log = run.directory / "logs" / "headend.log"
        postgres.stop()
        try:
            wait_for(lambda: "database lost" in log.read_text(), "the head-end's notice")
            assert_time_stands_still(run)
        finally:
            postgres.start()
        run.until_it_lives(tenths=4)
        mosquitto.kill()
        run.until_printed(f"the broker at 127.0.0.1:{mosquitto.port} is away")
        assert_time_stands_still(run)
        mosquitto.start()
        assert run.end() == 0, run.stdout + run.stderr
    reads = verdict(run)["reads"]
    assert (reads["lost"], reads["late"], reads["stored"]) == (0, 0, reads["expected"])
    with psycopg.connect(postgres.url()) as connection:
        assert schemas(connection) == []


def assert_time_stands_still(run: Command) -> None:
    reached = run.stdout
    time.sleep(A_MOMENT_S)
    assert run.stdout == reached


NONSENSE = [
    b"",
    b"\x00\xff\xfe garbage",
    b"null",
    b"[]",
    b"{}",
    b'{"meter":{"ts":"2026-01-15T00:15:00+00:00","1.29.0":1e999}}',
    b'{"meter":{"ts":"2026-01-15T00:15:00+00:00","1.29.0":-1}}',
    b'{"meter":{"ts":"1999-01-15T00:15:00+00:00","1.29.0":1}}',
    b'{"event":{"ts":"2026-01-15T00:15:00+00:00","seq":1,"code":"\\u0000","detail":{"x":"\\u0000"}}}',
    b'{"event":{"ts":"2026-01-15T00:15:00+00:00","seq":-99,"code":"reboot"}}',
    b'{"state":{"value":"asleep"}}',
    b'{"profile":{"command":"' + b"x" * 300 + b'"}}',
    b'{"fence":{"x":1}}',
    b'{"payload":"AAAA","protected":"AAAA","signature":"AAAA"}',
    b"[" * 60_000,
    b'{"a":' * 12_000,
]
OVERSIZED = b'{"meter":{"ts":"' + b"9" * (2 * MIB) + b'"}}'
KEPT_BYTES = 64 * 1024
SERIALS = ("AMI00000001", "AMI00000007", "AMI99999999", "ä€ ")
LEAVES = ("ds", "ev", "st", "lp", "xx")


class Hostile:
    """A client of the broker that says nonsense on every topic; it learns the run's group by listening."""

    def __init__(self, broker: Mosquitto) -> None:
        self.group: str | None = None
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="hostile", protocol=paho.MQTTv311)
        self._client.username_pw_set("headend", "secret")
        self._client.on_message = self._heard
        self._client.connect("127.0.0.1", broker.port)
        self._client.subscribe("dt/+/+/ds")
        self._client.loop_start()

    def talk(self) -> int:
        """Everything nonsensical everywhere; returns how many frames were for the head-end to reject."""
        sent = []
        for payload in (*NONSENSE, OVERSIZED):
            for serial in SERIALS:
                sent += [self._publish(f"dt/{self.group}/{serial}/{leaf}", payload) for leaf in LEAVES]
            sent.append(self._publish(f"dt/{self.group}", payload))
            sent.append(self._publish(f"dt/{self.group}/a/b/c/d", payload))
        sent.append(self._publish(f"dt/{self.group}/_fence/{self.group}-headend", OVERSIZED))
        rejected = len(sent)
        for payload in (*NONSENSE, OVERSIZED):
            # Commands are for the meters to refuse.
            sent += [self._publish(f"cmd/{self.group}/{serial}", payload) for serial in SERIALS]
        # A fence is any text.
        sent += [self._publish(f"dt/{self.group}/_fence/{self.group}-headend", payload) for payload in NONSENSE]
        for message in sent:
            message.wait_for_publish(30)
        return rejected

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _publish(self, topic: str, payload: bytes) -> paho.MQTTMessageInfo:
        return self._client.publish(topic, payload, qos=1)

    def _heard(self, client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        self.group = message.topic.split("/")[1]
        client.unsubscribe("dt/+/+/ds")


def test_nonsense_on_every_topic_is_kept_and_costs_no_reading(
    tmp_path: Path, temporary: Path, mosquitto: Mosquitto, postgres: Postgres
) -> None:
    path = scenario(tmp_path, duration="4h")
    options = ["--speed", "3600", "--keep", "--broker-url", broker_url(mosquitto), "--database-url", postgres.url()]
    hostile = Hostile(mosquitto)
    with running(path, *options, out=tmp_path / "runs", temporary=temporary) as run:
        wait_for(lambda: hostile.group, "a reading")
        rejected = hostile.talk()
        hostile.close()
        assert run.process.poll() is None, "it has been talking to a lab at work"
        assert run.end() == 0, run.stdout + run.stderr
    reads = verdict(run)["reads"]
    assert (reads["lost"], reads["altered"], reads["stored"]) == (0, 0, reads["expected"])
    assert reads["rejected_frames"] == rejected
    with psycopg.connect(postgres.url()) as connection:
        (schema,) = schemas(connection)
        assert f"kept: the schema {schema}" in run.stdout
        kept = connection.execute(f"SELECT payload FROM {schema}.dead_letter").fetchall()
        connection.execute(f"DROP SCHEMA {schema} CASCADE")
    assert len(kept) == rejected
    assert {bytes(row[0]) for row in kept} == {*NONSENSE, OVERSIZED[:KEPT_BYTES]}


def schemas(connection: psycopg.Connection[Any]) -> list[str]:
    rows = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'amilab%'").fetchall()
    return [row[0] for row in rows]
