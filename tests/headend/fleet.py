"""Devices as a test needs them: a shipment file, payloads written by hand, a plain paho publisher or meter."""

import base64
import csv
import hashlib
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import paho.mqtt.client as paho
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from paho.mqtt.enums import CallbackAPIVersion

from headend.settings import HeadEndSettings

GROUP = "test"
START_S = 1_768_435_200  # 2026-01-15T00:00:00Z
LENGTH_S = 900
COLUMNS = [
    *("1.8.0", "2.8.0", "1.29.0", "2.29.0", "21.29.0", "41.29.0", "61.29.0", "22.29.0", "42.29.0", "62.29.0"),
    *("1.7.0", "2.7.0", "32.7.0", "52.7.0", "72.7.0", "96.10.1"),
    *("5.8.0", "6.8.0", "7.8.0", "8.8.0", "5.29.0", "6.29.0", "7.29.0", "8.29.0", "1.6.0", "1.6.0.5"),
    *("21.7.0", "22.7.0", "41.7.0", "42.7.0", "61.7.0", "62.7.0"),
    *("23.7.0", "24.7.0", "43.7.0", "44.7.0", "63.7.0", "64.7.0"),
    *("31.7.0", "51.7.0", "71.7.0", "33.7.0", "53.7.0", "73.7.0"),
]
HEADER = [
    "serial", "vendor_profile", "usage_point", "group", "username", "password", "command_public_key", "address",
]  # fmt: skip


def serial(number: int) -> str:
    return f"AMI{number:08d}"


def iso(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat()


def values(meter: int, end_s: int, **changed: object) -> dict[str, object]:
    """A reading's values; those of two meters or two intervals differ."""
    energy_wh = 100 + meter % 50 + end_s // LENGTH_S % 97
    usual: list[object] = [
        10**6 + end_s // LENGTH_S,
        0,
        energy_wh,
        0,
        energy_wh // 3,
        energy_wh // 3,
        energy_wh // 3,
        0,
        0,
        0,
    ]
    usual += [4 * energy_wh, 0, 231.4, 230.1, 229.9, 0]
    usual += [10**5 + end_s // LENGTH_S, 3, 2, 1, energy_wh // 4, 0, 0, energy_wh // 9, 5_000, iso(START_S - LENGTH_S)]
    usual += [2 * energy_wh, 0, 0, energy_wh, 3 * energy_wh, 0, energy_wh, 0, 0, 7, energy_wh // 3, 0]
    usual += [1.234, 0.5, 3.217, 0.967, -0.999, 1.0]
    return dict(zip(COLUMNS, usual, strict=True)) | {key.replace("_", "."): value for key, value in changed.items()}


def reading(meter: int, end_s: int, **changed: object) -> bytes:
    body = {"ts": iso(end_s), **values(meter, end_s)}
    body.update(changed)
    return json.dumps({"meter": body}).encode()


def event(code: str, time_s: float, sequence: int, **detail: object) -> bytes:
    return json.dumps(
        {"event": {"ts": iso(time_s), "seq": sequence, "code": code, "detail": detail}}, separators=(",", ":")
    ).encode()


def state(value: str, time_s: float | None = None) -> bytes:
    body: dict[str, object] = {"value": value}
    if time_s is not None:
        body |= {"ts": iso(time_s), "boot": 1}
    return json.dumps({"state": body}).encode()


def profile(command: str, from_s: int, to_s: int, rows: dict[int, dict[str, object]], now_s: float) -> bytes:
    """An answer in one part. `rows`: values by the end of their interval."""
    body = {"command": command, "ts": iso(int(now_s)), "from": iso(from_s), "to": iso(to_s), "part": 1, "parts": 1}
    lines = [[iso(end_s), *found.values()] for end_s, found in rows.items()]
    return json.dumps({"profile": {**body, "interval_s": LENGTH_S, "columns": COLUMNS, "rows": lines}}).encode()


def encoded(key: Ed25519PublicKey) -> str:
    """As the shipment file has it."""
    return base64.urlsafe_b64encode(key.public_bytes_raw()).rstrip(b"=").decode()


class Shipment:
    """A command key and a shipment of `count` meters under `directory`."""

    def __init__(self, directory: Path, count: int = 3) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / "shipment.csv"
        self.key_path = directory / "command.key"
        key = Ed25519PrivateKey.generate()
        self.key_path.write_bytes(key.private_bytes_raw())
        self.public_key = key.public_key()
        trusted = encoded(self.public_key)
        with self.path.open("w", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(HEADER)
            for number in range(count):
                lines.writerow([serial(number), "rl-dsp", f"UP{number}", GROUP, serial(number), "pw", trusted, ""])

    def settings(self, database_url: str, schema: str, broker_port: int, **changed: object) -> HeadEndSettings:
        return HeadEndSettings.model_validate(
            {
                "database_url": database_url,
                "database_schema": schema,
                "broker_port": broker_port,
                "broker_username": "headend",
                "broker_password": "secret",
                "client_id": f"headend-{schema}",
                "group": GROUP,
                "shipment": self.path,
                "command_key": self.key_path,
                "startup_timeout_s": 3.0,
                **changed,
            }
        )


class Publisher:
    """A plain, threaded paho client: nothing of it is ours."""

    def __init__(self, port: int, client_id: str, *, subscribe: str | None = None, username: str | None = None) -> None:
        self.received: list[tuple[str, bytes]] = []
        self._ready = threading.Event()
        self._subscribe = subscribe
        self._infos: list[paho.MQTTMessageInfo] = []
        self.on_message: Callable[[str, bytes], None] | None = None
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=False)
        if username is not None:
            self.client.username_pw_set(username, "secret")
        self.client.max_inflight_messages_set(1000)
        self.client.max_queued_messages_set(0)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = self._connected
        self.client.on_subscribe = lambda *_: self._ready.set()
        self.client.on_message = self._message
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert self._ready.wait(10)

    def publish(self, topic: str, payload: bytes) -> paho.MQTTMessageInfo:
        info = self.client.publish(topic, payload, qos=1)
        self._infos.append(info)
        return info

    def send(self, topic: str, payload: bytes) -> None:
        """Publish and wait for the PUBACK."""
        info = self.publish(topic, payload)
        info.wait_for_publish(20)
        assert info.is_published()

    def is_idle(self) -> bool:
        """Every message has its PUBACK."""
        self._infos = [info for info in self._infos if not info.is_published()]
        return not self._infos

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def _connected(self, *_: object) -> None:
        if self._subscribe is None:
            self._ready.set()
        else:
            self.client.subscribe(self._subscribe, qos=1)

    def _message(self, client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        payload = bytes(message.payload)
        self.received.append((message.topic, payload))
        if self.on_message is not None:
            self.on_message(message.topic, payload)


def opened(envelope: bytes, key: Ed25519PublicKey) -> dict[str, object]:
    """The claims of a command, its signature verified here and not by the head-end's code. Raises InvalidSignature."""
    header, body, signature = envelope.split(b".")

    def decode(part: bytes) -> bytes:
        return base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))

    key.verify(decode(signature), header + b"." + body)
    jwk = f'{{"crv":"Ed25519","kty":"OKP","x":"{encoded(key)}"}}'
    thumbprint = base64.urlsafe_b64encode(hashlib.sha256(jwk.encode()).digest()).rstrip(b"=").decode()
    assert decode(header) == f'{{"alg":"EdDSA","kid":"{thumbprint}","typ":"amilab-command+jws"}}'.encode()
    claims: dict[str, object] = json.loads(decode(body))
    return claims
