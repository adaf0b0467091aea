"""Somebody who hears all that is said on a broker, by the plain rules of MQTT 5: nothing of it is ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import uuid4

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests.interop.sparkplug_wire import Payload, decode

_DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True)
class Heard:
    """One message as its sender published it: QoS and retain flag are the sender's."""

    topic: str
    payload: bytes
    qos: int
    retain: bool

    @property
    def kind(self) -> str:
        """NBIRTH, DDATA, …, or STATE."""
        _, second, *rest = self.topic.split("/")
        return second if second == "STATE" else rest[0]

    @property
    def device(self) -> str | None:
        parts = self.topic.split("/")
        return parts[4] if len(parts) > 4 else None

    @property
    def spb(self) -> Payload:
        return decode(self.payload)


@dataclass
class Listener:
    """Subscribed to `spBv1.0/#` with QoS 2 and *retain as published*."""

    port: int
    heard: list[Heard] = field(default_factory=list)

    async def open(self) -> Listener:
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._subscribed = False
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=f"listener-{uuid4().hex[:8]}", protocol=paho.MQTTv5
        )
        options = SubscribeOptions(qos=2, retainAsPublished=True)
        self._client.on_connect = lambda client, *_: client.subscribe([("spBv1.0/#", options), ("_mark/#", options)])
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._marks: set[str] = set()
        self._client.connect("127.0.0.1", self.port)
        self._client.loop_start()
        await self.until(lambda: self._subscribed, "the listener's subscription")
        return self

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos, retain)

    async def caught_up(self) -> None:
        """All that the broker had before this call has been heard."""
        mark = uuid4().hex
        self._client.publish(f"_mark/{mark}", b"", 1)
        await self.until(lambda: mark in self._marks, "the listener's own mark")

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Returns when `condition`, looked at whenever something is heard, holds."""
        try:
            async with asyncio.timeout(_DEADLINE_S):
                while True:
                    self._changed.clear()
                    if condition():
                        return
                    await self._changed.wait()
        except TimeoutError:
            heard = [message.topic for message in self.heard[-10:]]
            raise AssertionError(f"{what} did not come; last heard: {heard}") from None

    def of(self, *kinds: str, device: str | None = None) -> list[Heard]:
        return [message for message in self.heard if message.kind in kinds and device in (None, message.device)]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_subscribe(self, *_: object) -> None:
        self._subscribed = True
        self._loop.call_soon_threadsafe(self._changed.set)

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        if message.topic.startswith("_mark/"):
            self._marks.add(message.topic.removeprefix("_mark/"))
        else:
            self.heard.append(Heard(message.topic, bytes(message.payload), message.qos, message.retain))
        self._loop.call_soon_threadsafe(self._changed.set)
