"""A device of somebody else's in the place of one of the lab's meters, and what the lab keeps from such devices."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import paho.mqtt.client as paho
import pyarrow.parquet as pq
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.headend.services import Mosquitto
from tests.stack.labs import live, scenario_text

USER, PASSWORD = "headend", "secret"
LENGTH_S = 2
OFFLINE = """
[[event]]
at = "00:00"
kind = "uplink_loss"
duration = "30s"
select = { meters = 1 }
"""
SILENT = """
[[event]]
at = "00:20"
kind = "uplink_loss"
duration = "1h"
select = { meters = 3 }
"""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    mosquitto = Mosquitto(tmp_path / "mosquitto")
    mosquitto.start()
    yield mosquitto
    mosquitto.kill()


def url(broker: Mosquitto) -> str:
    return f"mqtt://{USER}:{PASSWORD}@127.0.0.1:{broker.port}"


def client(broker: Mosquitto, client_id: str) -> paho.Client:
    made = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id)
    made.username_pw_set(USER, PASSWORD)
    made.connect("127.0.0.1", broker.port)
    return made


class StandIn:
    """Knows docs/wire-rl-dsp.md and nothing of the lab. Takes the place of the first meter that it hears of."""

    IMPORT_WH = 7

    def __init__(self, broker: Mosquitto) -> None:
        self.sent: dict[datetime, int] = {}
        self.told: list[bytes] = []
        self._broker = broker
        self._device: paho.Client | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._speak, daemon=True)
        self._ear = client(broker, "ear")
        self._ear.on_connect = lambda ear, *_: ear.subscribe("dt/+/+/ds", 1)
        self._ear.on_message = self._heard
        self._ear.loop_start()

    def _heard(self, ear: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        if self._device is not None:
            return
        _, group, serial, _ = message.topic.split("/")
        self._register_wh = json.loads(message.payload)["meter"]["1.8.0"]
        ear.unsubscribe("dt/+/+/ds")
        self._home = f"dt/{group}/{serial}"
        self._device = client(self._broker, f"{group}-{serial}")
        self._device.on_connect = lambda device, *_: device.subscribe(f"cmd/{group}/{serial}", 1)
        self._device.on_message = lambda *arguments: self.told.append(bytes(arguments[-1].payload))
        self._device.loop_start()
        self._thread.start()

    def _speak(self) -> None:
        assert self._device is not None
        length = timedelta(seconds=LENGTH_S)
        ended = datetime.fromtimestamp(int(datetime.now(UTC).timestamp()) // LENGTH_S * LENGTH_S, UTC) + 2 * length
        while not self._over.wait(max(0.0, (ended - datetime.now(UTC)).total_seconds())):
            self._register_wh += self.IMPORT_WH
            values = dict.fromkeys(("2.8.0", "2.29.0", "21.29.0", "41.29.0", "61.29.0", "22.29.0"), 0)
            values |= dict.fromkeys(("42.29.0", "62.29.0", "1.7.0", "2.7.0", "96.10.1"), 0)
            values |= {"1.8.0": self._register_wh, "1.29.0": self.IMPORT_WH}
            meter = {"ts": ended.isoformat(), **values, "32.7.0": 231.0, "52.7.0": 231.0, "72.7.0": 231.0}
            self._device.publish(f"{self._home}/ds", json.dumps({"meter": meter}), qos=1)
            self.sent[ended - length] = self.IMPORT_WH
            ended += length

    def close(self) -> None:
        self._over.set()
        for each in (self._ear, self._device):
            if each is not None:
                each.disconnect()
                each.loop_stop()


@pytest.mark.long
def test_a_foreign_device_takes_a_meters_place_at_speed_1(tmp_path: Path, broker: Mosquitto) -> None:
    stand_in = StandIn(broker)
    text = scenario_text(meters=1, duration="24s", settle="8s", events=OFFLINE)
    result = live(
        tmp_path, text.replace("[fleet]", f'[fleet]\ninterval = "{LENGTH_S}s"'), speed=1.0, broker_url=url(broker)
    )
    stand_in.close()
    stored = {
        row["interval_start"]: row["import_wh"]
        for row in pq.read_table(result.directory / "stored.parquet").to_pylist()
    }
    clock = result.verdict.context.clock
    judged = {at: wh for at, wh in stand_in.sent.items() if clock.start_s + LENGTH_S <= at.timestamp() < clock.end_s}
    assert len(judged) > 8
    assert {at: stored.get(at) for at in judged} == judged


def test_no_topic_of_a_vendors_carries_the_labs_fences(tmp_path: Path, broker: Mosquitto) -> None:
    heard: list[tuple[str, bytes]] = []
    ear = client(broker, "ear")
    ear.on_connect = lambda ear, *_: ear.subscribe("#", 1)
    ear.on_message = lambda *arguments: heard.append((arguments[-1].topic, bytes(arguments[-1].payload)))
    ear.loop_start()
    text = scenario_text(meters=60, duration="2h", settle="4h", events=SILENT, fleet='preset = "bakeoff"')
    result = live(tmp_path, text, broker_url=url(broker))
    ear.disconnect()
    ear.loop_stop()
    assert result.verdict.passed
    fences = [topic for topic, _ in heard if topic.startswith("lab/")]
    assert any("/DCMD/" in topic or "/NCMD/" in topic for topic in fences)
    assert any(topic.count("/") == 2 for topic in fences)
    told = [payload for topic, payload in heard if topic.startswith("cmd/")]
    assert told, "who lost its uplink was asked for what is missing"
    assert all(payload.count(b".") == 2 for payload in told), "signed commands, and nothing else"
    # The head-end's fence to itself is the one that stays in a namespace, under a name that no collector has.
    named = {topic for topic, payload in heard if topic.startswith("spBv1.0/") and b"Fence" in payload}
    assert all("/NCMD/_fence-" in topic for topic in named)
