"""The broker's log in containers is complete, whatever shell its image has, and its address is its own."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
from contextlib import suppress
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from lab.keys.pki import Authority
from tests.containers.conftest import SETTINGS, Project, image_of, until
from tests.containers.test_compose import passed_verdict
from tests.stack.labs import scenario_text

pytestmark = [pytest.mark.containers, pytest.mark.timeout(600)]

METER = "AMI00000666"
KILL = """
[[event]]
kind = "kill"
at = "00:10"
part = "broker"
down = "1min"
"""
WITH_BUSYBOX = """\
FROM {image}
USER root
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends busybox >/dev/null \\
    && mkdir /busybox && busybox --install -s /busybox && ln -sf /bin/busybox /bin/sh
ENV PATH=/busybox:$PATH
USER mosquitto
"""


def log_of_broker(project: Project) -> str:
    return project.compose("logs", "--no-color", "broker")


def come_without_certificate(project: Project) -> None:
    context = ssl.create_default_context(cafile=str(project.directory / "state/supplies/ca.pem"))
    plain = socket.create_connection(("127.0.0.1", int(SETTINGS["AMILAB_BROKER_PORT"])), timeout=30)
    with plain, suppress(ssl.SSLError, ConnectionError), context.wrap_socket(plain, server_hostname="localhost") as tls:
        tls.recv(1)


def connected(project: Project, name: str, directory: Path, heard: list[bytes] | None = None) -> mqtt.Client:
    """Whoever has a certificate of the project, with a session that the broker keeps."""
    identity = directory / f"{name}.pem"
    identity.write_bytes(Authority.load(project.directory / "secrets" / "ca.key").issue(name))
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=False)
    client.tls_set(str(project.directory / "state/supplies/ca.pem"), str(identity), str(identity))
    kept = [] if heard is None else heard
    client.on_message = lambda _client, _userdata, message: kept.append(bytes(message.payload))
    client.connect("127.0.0.1", int(SETTINGS["AMILAB_BROKER_PORT"]))
    client.loop_start()
    until(client.is_connected, f"the connection of {name}")
    return client


def leave(client: mqtt.Client) -> None:
    client.disconnect()
    client.loop_stop()


def publish_in_anothers_name(project: Project, directory: Path) -> None:
    client = connected(project, METER, directory)
    with suppress(ValueError, RuntimeError):
        client.publish("dt/g1/AMI00000001/ds", b"{}", qos=1).wait_for_publish(30)
    leave(client)


def look_for_refusals(project: Project, directory: Path) -> None:
    come_without_certificate(project)
    until(lambda: "peer did not return a certificate" in log_of_broker(project), "the refusal of a stranger")
    publish_in_anothers_name(project, directory)
    said = f"guard: {METER} may not publish to dt/g1/AMI00000001/ds"
    until(lambda: said in log_of_broker(project), "the refusal of a foreign topic")


def test_each_refusal_is_in_the_log_after_new_certificates_as_well(project: Project, tmp_path: Path) -> None:
    project.compose("up", "--detach", "--no-build", "--wait", "broker")
    look_for_refusals(project, tmp_path)
    before = log_of_broker(project).count("peer did not return a certificate")
    project.compose("kill", "--signal", "SIGHUP", "broker")
    come_without_certificate(project)
    until(lambda: log_of_broker(project).count("peer did not return a certificate") > before, "a refusal after SIGHUP")


def test_a_broker_starts_and_logs_with_busybox_as_in_the_official_image(project: Project, tmp_path: Path) -> None:
    tag = ["docker", "build", "--quiet", "--tag", image_of("broker", "busybox"), "-"]
    subprocess.run(tag, input=WITH_BUSYBOX.format(image=image_of("broker")), text=True, check=True, capture_output=True)
    version = {**os.environ, "AMILAB_VERSION": "busybox"}
    up = ["docker", "compose", "up", "--detach", "--no-build", "--wait", "broker"]
    try:
        subprocess.run(up, cwd=project.directory, env=version, check=True, capture_output=True)
        kind = project.compose(
            "exec", "-T", "broker", "sh", "-c", "for tool in $(command -v grep) /bin/sh; do readlink -f $tool; done"
        )
        assert set(kind.split()) == {"/usr/bin/busybox"}
        look_for_refusals(project, tmp_path)
    finally:
        project.compose("up", "--detach", "--no-build", "--wait", "broker")


def test_nobody_else_is_given_the_brokers_address(project: Project) -> None:
    """After a restart of the engine containers come back in any order, and take what is free."""
    project.compose("up", "--detach", "--no-build", "--wait", "broker")
    network = f"{SETTINGS['AMILAB_PROJECT']}_metering"
    project.compose("stop", "--timeout", "2", "broker")
    try:
        command = [
            "docker",
            "run",
            "--rm",
            "--network",
            network,
            "--entrypoint",
            "hostname",
            image_of("broker"),
        ]
        others = subprocess.run([*command, "-i"], capture_output=True, text=True, check=True).stdout.split()
    finally:
        project.compose("up", "--detach", "--no-build", "--wait", "broker")
    assert others
    assert SETTINGS["AMILAB_BROKER_ADDRESS"] not in others


def test_a_kill_brings_nothing_back_of_an_earlier_run(project: Project, tmp_path: Path) -> None:
    """What waited for the head-end when the broker last wrote its state has long been delivered."""
    project.compose("up", "--detach", "--no-build", "--wait", "broker")
    head_end = connected(project, "headend", tmp_path)
    subscribed: list[object] = []
    head_end.on_subscribe = lambda *_: subscribed.append(1)
    head_end.subscribe("dt/g1/#", qos=1)
    until(lambda: subscribed, "the head-end's subscription")
    leave(head_end)
    meter = connected(project, METER, tmp_path)
    meter.publish(f"dt/g1/{METER}/ds", b"{}", qos=1).wait_for_publish(30)
    leave(meter)
    state = (
        "exec",
        "-T",
        "broker",
        "sh",
        "-c",
        "cat /mosquitto/data/mosquitto.db | wc -c; stat -c %Y.%i /mosquitto/data/*",
    )
    before = project.compose(*state)
    project.compose("kill", "--signal", "SIGUSR1", "broker")
    until(lambda: project.compose(*state) != before, "the broker's state on disk")
    heard: list[bytes] = []
    head_end = connected(project, "headend", tmp_path, heard)
    until(lambda: heard, "what waited for the head-end")
    leave(head_end)
    scenario = tmp_path / "kill.toml"
    scenario.write_text(scenario_text(meters=20, duration="30min", events=KILL, fleet='preset = "cellular"'))
    verdict = passed_verdict(project, tmp_path, str(scenario))
    assert verdict["reads"]["rejected_frames"] == 0
