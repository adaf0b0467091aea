"""A machine that is started anew: the whole lab comes back, and knows what it knew."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lab.keys.pki import Authority
from tests.containers.conftest import SETTINGS, Project, until
from tests.containers.engine import Engine
from tests.containers.test_compose import passed_verdict
from tests.stack.labs import scenario_text

pytestmark = [pytest.mark.containers, pytest.mark.long, pytest.mark.timeout(1200)]

SERVICES = (
    "broker", "database", "grid", "meters", "gateways", "headend-ingest", "headend-outages", "headend-poller",
)  # fmt: skip
METERS = 6
METER = "AMI00000666"
KEPT = "CREATE TABLE kept AS SELECT 42 AS answer"
PEER = """
import sys, threading
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
port, trust, identity, name, act = sys.argv[1:]
done = threading.Event()
client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=False)
client.tls_set(trust, identity, identity)
client.on_subscribe = lambda *_: done.set()
client.on_publish = lambda *_: done.set()
client.on_message = lambda _client, _userdata, message: (print(message.payload.decode()), done.set())
client.connect("127.0.0.1", int(port))
client.loop_start()
if act == "subscribe":
    client.subscribe("dt/g1/#", qos=1)
elif act != "hear":
    client.publish(f"dt/g1/{name}/ds", act.encode(), qos=1)
assert done.wait(60)
client.disconnect()
client.loop_stop()
"""


@pytest.fixture
def apart(project: Project) -> Iterator[Project]:
    """The same project in an engine of its own.

    The containers that an earlier test has left running in the machine's would take its parts: they share the plan.
    """
    project.compose("down", "--timeout", "5")
    engine = Engine()
    try:
        engine.take_images(sorted(set(project.compose("config", "--images", *SERVICES).split())))
        yield replace(project, engine=engine)
    finally:
        engine.close()


def healthy(project: Project) -> list[str]:
    listed = project.compose("ps", "--format", "{{.Service}} {{.Health}}", *SERVICES).splitlines()
    return sorted(line.split()[0] for line in listed if line.endswith(" healthy"))


def in_the_database(project: Project, query: str) -> str:
    psql = "PGPASSWORD=$(cat /run/secrets/database_password) psql -h 127.0.0.1 -U amilab -qtA -c"
    return project.compose("exec", "-T", "database", "sh", "-c", f'{psql} "{query}"').strip()


def at_the_broker(project: Project, directory: Path, name: str, act: str) -> str:
    """What somebody hears who `act`s there with a session that the broker keeps."""
    identity = directory / f"{name}.pem"
    identity.write_bytes(Authority.load(project.directory / "secrets" / "ca.key").issue(name))
    trust = project.directory / "state" / "supplies" / "ca.pem"
    return project.run_there(
        sys.executable, "-c", PEER, SETTINGS["AMILAB_BROKER_PORT"], str(trust), str(identity), name, act
    )


def test_a_lab_is_back_after_a_restart_of_the_engine(apart: Project, tmp_path: Path) -> None:
    """As after a reboot: the engine starts what it is told to keep running, in any order."""
    engine = apart.engine
    assert engine is not None
    apart.compose("up", "--detach", "--no-build", "--wait", "--scale", f"meters={METERS}", *SERVICES)
    before = healthy(apart)
    assert before.count("meters") == METERS
    in_the_database(apart, KEPT)
    at_the_broker(apart, tmp_path, "headend", "subscribe")
    at_the_broker(apart, tmp_path, METER, "said before")
    engine.stop()
    engine.start()
    until(lambda: healthy(apart) == before, "all containers")
    assert in_the_database(apart, "SELECT answer FROM kept") == "42"
    assert at_the_broker(apart, tmp_path, "headend", "hear") == "said before\n"
    ids = apart.compose("ps", "--all", "--quiet")
    scenario = tmp_path / "few.toml"
    scenario.write_text(scenario_text(meters=20, duration="30min", fleet='preset = "cellular"'))
    passed_verdict(apart, tmp_path, str(scenario))
    assert apart.compose("ps", "--all", "--quiet") == ids, "a run has made anew what had come back"
