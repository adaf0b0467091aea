"""The host application's side of the broker: its STATE, what it asks of edge nodes, and a fence to itself."""

import asyncio
from collections.abc import Callable

import orjson

from headend.clock import Clock
from headend.log import logger
from headend.mqtt import MqttLink, Session, Will
from headend.settings import HeadEndSettings
from headend.sparkplug.payload import encode_command

NAMESPACE = "spBv1.0"
REBIRTH = "Node Control/Rebirth"
FENCE = "Node Control/Fence"
FENCED_DEVICE = "_fence"
"""Stands for no device: a fence that is to follow commands to devices."""
COMMAND = "Device Control/Command"


class SparkplugHost:
    """A connection of its own, as Sparkplug wants a clean session (docs/wire-sparkplug.md).

    `on_message(topic, payload)` for everything but STATE; the other callbacks are those of MqttLink.
    """

    def __init__(
        self,
        settings: HeadEndSettings,
        clock: Clock,
        *,
        on_message: Callable[[str, bytes], None],
        on_chunk: Callable[[], None],
        on_lost: Callable[[], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._on_message = on_message
        self._prefix = f"{NAMESPACE}/{settings.group}"
        self._state_topic = f"{NAMESPACE}/STATE/{settings.sparkplug_host_id or settings.client_id}"
        self._since_ms = 0
        self._birth_heard = self._leaving = False
        self._commanded: set[str] = set()
        self.fence_node = f"_fence-{settings.client_id}"
        session = Session(
            f"{settings.client_id}-sparkplug",
            (f"{self._prefix}/#", self._state_topic),
            clean=True,
            certificate=settings.broker_host_certificate or settings.broker_certificate,
            will=self._will,
        )
        self.link = MqttLink(
            settings,
            session,
            on_message=self._received,
            on_chunk=on_chunk,
            on_lost=on_lost,
            on_failure=on_failure,
        )

    async def connect(self) -> None:
        """Connect, subscribe and say that we are there. Raises BrokerUnavailable, BrokerRefused."""
        await self.link.connect()
        self._publish_state(online=True)

    async def disconnect(self) -> None:
        """Say that we leave, and leave."""
        if self.link.connected:
            self.link.resume()
            # Of the instant at which we leave, not of that at which we came: it is no will.
            self._since_ms = int(self._clock.now() * 1000)
            self._leaving = True
            self._publish_state(online=False)
            try:
                async with asyncio.timeout(self._settings.stop_timeout_s):
                    await self.link.published()
            except TimeoutError:
                logger().warning("left without a word: the broker does not acknowledge our state")
        await self.link.disconnect()

    def ask_for_rebirth(self, edge: str) -> None:
        """Have an edge node send all its births again."""
        self._command(f"NCMD/{edge}", REBIRTH, True)

    def fence_edge(self, edge: str, token: str) -> None:
        """Mark a point in what we send to an edge node."""
        # Brokers keep the order within a subscribed filter only: what is to follow commands must come by theirs.
        self._command(f"DCMD/{edge}/{FENCED_DEVICE}" if edge in self._commanded else f"NCMD/{edge}", FENCE, token)
        self._commanded.discard(edge)

    def fence_self(self, token: str) -> None:
        """Mark a point in what we receive. At QoS 1: somebody waits for it."""
        payload = encode_command([(FENCE, token)], time_ms=int(self._clock.now() * 1000))
        self.link.publish(f"{self._prefix}/NCMD/{self.fence_node}", payload)

    def command(self, edge: str, serial: str, envelope: bytes) -> None:
        """Send a signed command to a device."""
        self._commanded.add(edge)
        self._command(f"DCMD/{edge}/{serial}", COMMAND, envelope.decode("ascii"))

    def _command(self, where: str, metric: str, value: bool | str) -> None:
        payload = encode_command([(metric, value)], time_ms=int(self._clock.now() * 1000))
        self.link.publish_once(f"{self._prefix}/{where}", payload)

    def _received(self, topic: str, payload: bytes, packet_id: int) -> None:
        if packet_id:
            # The session is clean: what we do not commit will not come again.
            self.link.acknowledge([packet_id])
        if topic == self._state_topic:
            self._state_heard(payload)
        else:
            self._on_message(topic, payload)

    def _state_heard(self, payload: bytes) -> None:
        """An `offline` behind our own `online` is the will of a connection that was ours before, and stale."""
        if payload == self._state(online=True):
            self._birth_heard = True
        elif self._birth_heard and not self._leaving and self.link.connected and _says_offline(payload):
            self._publish_state(online=True)

    def _will(self) -> Will:
        self._since_ms = int(self._clock.now() * 1000)
        self._birth_heard = self._leaving = False
        return Will(self._state_topic, self._state(online=False))

    def _state(self, *, online: bool) -> bytes:
        return orjson.dumps({"online": online, "timestamp": self._since_ms})

    def _publish_state(self, *, online: bool) -> None:
        self._birth_heard = False
        self.link.publish(self._state_topic, self._state(online=online), retain=True)


def _says_offline(payload: bytes) -> bool:
    try:
        state = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return False
    return isinstance(state, dict) and state.get("online") is False
