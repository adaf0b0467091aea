"""What the tests of the fleet share: shipments, physical frames, a stand-in for the lab's grants, a head-end's ear."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import orjson
import paho.mqtt.client as mqtt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.enums import CallbackAPIVersion

from grid.world import WorldFrame
from meters.fleet.fleet import BrokerAddress, Fleet
from meters.fleet.shipment import ShipmentEntry
from meters.radio.parameters import load_parameters
from meters.radio.setup import NetworkSetup
from tests.frames import frame_of

START_S = 1_768_435_200
"""2026-01-15T00:00:00Z, a multiple of 900."""

HEAD_END_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def shipment(count: int, group: str) -> list[ShipmentEntry]:
    return [
        ShipmentEntry(
            serial=f"AMI{number:08d}",
            vendor_profile="rl-dsp",
            usage_point=f"UP{number:05d}",
            group=group,
            username=f"AMI{number:08d}",
            password=f"secret{number}",
            command_public_key=HEAD_END_KEY.public_key().public_bytes_raw(),
        )
        for number in range(1, count + 1)
    ]


@dataclass
class World:
    """A physical world with constant powers per meter, and switching by hand."""

    power_w: np.ndarray
    """(n, 3), + import."""
    time_s: int = START_S
    sequence: int = 0
    energised: np.ndarray = field(init=False)
    closed: np.ndarray = field(init=False)
    intact: np.ndarray = field(init=False)
    """(n, 3) the conductors of each service."""
    import_wh: np.ndarray = field(init=False)
    export_wh: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.energised = np.ones(len(self.power_w), dtype=bool)
        self.closed = np.ones(len(self.power_w), dtype=bool)
        self.intact = np.ones((len(self.power_w), 3), dtype=bool)
        self.import_wh = np.zeros_like(self.power_w)
        self.export_wh = np.zeros_like(self.power_w)

    def frame(self, now_s: int, *, power_w: np.ndarray | None = None, **switched: bool) -> WorldFrame:
        """The next frame, at `now_s`, with new powers if given.

        `switched` is {"m<row>": energised}, {"m<row>_l<phase>": the same of one phase}, and {"b<row>": whether the
        customer's breaker is closed}.
        """
        live = self._live_w()
        hours = (now_s - self.time_s) / 3600
        self.import_wh = self.import_wh + np.maximum(live, 0) * hours
        self.export_wh = self.export_wh + np.maximum(-live, 0) * hours
        self.time_s = now_s
        self.sequence += 1
        self.power_w = self.power_w if power_w is None else power_w
        self.energised = self.energised.copy()
        for name, on in switched.items():
            who, _, phase = name.partition("_l")
            if phase:
                self.intact[int(who[1:]), int(phase) - 1] = on
            else:
                (self.energised if who.startswith("m") else self.closed)[int(who[1:])] = on
        live = self._live_w()
        voltage_v = np.where(self._lit(), np.full_like(live, 231.44), 0.0)
        return frame_of(
            self.sequence, now_s, self._lit(), import_wh=self.import_wh, export_wh=self.export_wh,
            active_power_w=live, voltage_v=voltage_v, closed=self.closed,
        )  # fmt: skip

    def _live_w(self) -> np.ndarray:
        return np.where(self._lit() & self.closed[:, None], self.power_w, 0.0)

    def _lit(self) -> np.ndarray:
        lit: np.ndarray = self.intact & self.energised[:, None]
        return lit


def uneven_power_w(count: int) -> np.ndarray:
    """Different for each meter and phase; every fifth meter exports on L3."""
    rng = np.random.default_rng(5)
    power_w = rng.uniform(50, 900, (count, 3))
    power_w[::5, 2] *= -3
    return power_w


def street(count: int, **changes: Mapping[str, object]) -> NetworkSetup:
    """The network of meters in two rows of houses; neighbours in the list stand in different rows.

    `changes`: of parameters, by technology.
    """
    positions_m = tuple((row // 2 * 40.0, row % 2 * 1000.0) for row in range(count))
    return NetworkSetup(parameters=load_parameters(changes), positions_m=positions_m)


def make_fleet(
    entries: Sequence[ShipmentEntry],
    port: int,
    memory: Path,
    seed: int = 7,
    host: str = "127.0.0.1",
    network: NetworkSetup | None = None,
) -> Fleet:
    return Fleet(
        meters=entries,
        world_rows=range(len(entries)),
        memory_path=memory,
        broker=BrokerAddress(host, port),
        seed=seed,
        start_s=START_S,
        in_lockstep=True,
        network=network,
    )


async def grant(
    fleet: Fleet, until_s: int, frames: dict[int, WorldFrame] | None = None, *, extra: Sequence[int] = ()
) -> None:
    """Grant every instant that the fleet or the world asks for, up to `until_s`, each followed by quiescence."""
    pending = dict(frames or {})
    more = sorted(extra)
    while True:
        due = [until_s, *pending, *more[:1]]
        if (own := fleet.next_due()) is not None:
            due.append(int(own))
        now_s = min(due)
        if more and more[0] == now_s:
            more.pop(0)
        await fleet.advance(now_s, pending.pop(now_s, None))
        async with asyncio.timeout(60):
            await fleet.settle()
        own = fleet.next_due()
        if now_s >= until_s and (own is None or own > until_s):
            return


@dataclass
class Ear:
    """A head-end's side of the wire: every message, in the order of arrival, parsed as plain JSON."""

    group: str
    port: int
    heard: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    """(serial, leaf of the topic, payload)."""

    def __post_init__(self) -> None:
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=f"{self.group}-ear", clean_session=False, protocol=mqtt.MQTTv311
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(f"dt/{self.group}/#", qos=1)
        self._client.on_subscribe = lambda *_: self._ready()
        self._client.on_message = self._on_message
        self._loop = asyncio.get_running_loop()
        self.ready = asyncio.Event()
        self._fences: dict[str, asyncio.Event] = {}

    async def open(self) -> Ear:
        self._client.connect("127.0.0.1", self.port)
        self._client.loop_start()
        async with asyncio.timeout(20):
            await self.ready.wait()
        return self

    async def caught_up(self) -> None:
        """All that the broker had before this call has been heard."""
        token = uuid4().hex
        self._fences[token] = asyncio.Event()
        self._client.publish(f"dt/{self.group}/_fence/ear", token, qos=1)
        async with asyncio.timeout(20):
            await self._fences[token].wait()

    async def tell(self, serial: str, payload: bytes) -> None:
        """Publish on a meter's command topic; returns when the broker has it."""
        info = self._client.publish(f"cmd/{self.group}/{serial}", payload, qos=1)
        await until(info.is_published)

    async def fence(self, serial: str, token: str) -> None:
        """The lab's, behind commands to a meter; returns when the broker has it."""
        info = self._client.publish(f"lab/{self.group}/{serial}", token, qos=1)
        await until(info.is_published)

    def of(self, leaf: str, serial: str | None = None) -> list[dict[str, Any]]:
        return [payload for who, what, payload in self.heard if what == leaf and serial in (None, who)]

    def events(self, serial: str) -> list[str]:
        return [payload["event"]["code"] for payload in self.of("ev", serial)]

    def states(self, serial: str) -> list[str]:
        return [payload["state"]["value"] for payload in self.of("st", serial)]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _ready(self) -> None:
        self._loop.call_soon_threadsafe(self.ready.set)

    def _on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        _, _, who, leaf = message.topic.split("/")
        if who == "_fence":
            if (fence := self._fences.get(bytes(message.payload).decode())) is not None:
                self._loop.call_soon_threadsafe(fence.set)
            return
        self.heard.append((who, leaf, orjson.loads(bytes(message.payload))))


async def until(condition: Callable[[], bool], limit_s: float = 30.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "condition not reached"
        await asyncio.sleep(0.005)


def base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _thumbprint(key: Ed25519PrivateKey) -> bytes:
    """RFC 7638, of a JWK as in RFC 8037."""
    jwk = {"crv": "Ed25519", "kty": "OKP", "x": base64url(key.public_key().public_bytes_raw()).decode()}
    return base64url(hashlib.sha256(orjson.dumps(jwk)).digest())


HEADER = b'{"alg":"EdDSA","kid":"%s","typ":"amilab-command+jws"}' % _thumbprint(HEAD_END_KEY)


def command(
    serial: str,
    *,
    counter: int = 1,
    now_s: int = START_S,
    key: Ed25519PrivateKey = HEAD_END_KEY,
    params: object = None,
    header: bytes = b"",
    **claims: object,
) -> bytes:
    """A signed envelope, written from docs/command-envelope.md; `claims` override."""
    payload = {
        "jti": str(uuid4()),
        "sub": serial,
        "purpose": "load_profile.read",
        "iat": now_s,
        "nbf": now_s - 300,
        "exp": now_s + 3600,
        "ctr": counter,
        "params": {"from": START_S, "to": START_S + 1800} if params is None else params,
        **claims,
    }
    signed = base64url(header or HEADER) + b"." + base64url(orjson.dumps(payload))
    return signed + b"." + base64url(key.sign(signed))
