"""The host application's side of the broker: its STATE, what it asks of edge nodes, and a fence to itself."""

import asyncio
from collections.abc import Callable

from headend.clock import Clock
from headend.links.link import fence_topic
from headend.links.mqtt import MqttConnection, Session, Will
from headend.links.sparkplug.payload import encode_command
from headend.links.sparkplug.presence import Answer, Presence
from headend.log import logger
from headend.settings import HeadEndSettings

NAMESPACE = "spBv1.0"
REBIRTH = "Node Control/Rebirth"
FENCE = "Node Control/Fence"
FENCED_DEVICE = "_fence"
"""Stands for no device: a fence that is to follow commands to devices."""
COMMAND = "Device Control/Command"
_FENCE_EVERY_S = 2.0


class SparkplugHost:
    """A connection of its own, as Sparkplug wants a clean session (docs/wire-sparkplug.md).

    `on_message(topic, payload)` for everything but STATE; the other callbacks are those of MqttConnection.
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
        self._presence = Presence()
        #: Our birth is not believed: we are to connect anew.
        self.is_contradicted = False
        self._commanded: set[str] = set()
        self.fence_node = f"_fence-{settings.client_id}"
        session = Session(
            f"{settings.client_id}-sparkplug",
            (f"{self._prefix}/#", self._state_topic),
            clean=True,
            certificate=settings.broker_host_certificate or settings.broker_certificate,
            will=self._will,
        )
        self.connection = MqttConnection(
            settings,
            session,
            on_message=self._received,
            on_chunk=on_chunk,
            on_lost=on_lost,
            on_failure=on_failure,
        )

    async def connect(self) -> None:
        """Connect, subscribe and say that we are there. Raises BrokerUnavailable, BrokerRefused."""
        self.is_contradicted = False
        await self.connection.connect()
        self._publish_state(self._presence.birth())

    async def disconnect(self) -> None:
        """Say that we leave, and leave."""
        if self.connection.connected:
            self.connection.resume()
            self._publish_state(self._presence.leaving(self._clock.now()))
            try:
                async with asyncio.timeout(self._settings.stop_timeout_s):
                    await self.connection.published()
            except TimeoutError:
                logger().warning("left without a word: the broker does not acknowledge our state")
        await self.connection.disconnect()

    def ask_for_rebirth(self, edge: str) -> None:
        """Have an edge node send all its births again."""
        self._command(f"NCMD/{edge}", REBIRTH, True)

    def fence_edge(self, edge: str, token: str) -> None:
        """Mark a point in what we send to an edge node."""
        # Of the two filters by which it hears commands: the order is kept within one only.
        where = f"DCMD/{edge}/{FENCED_DEVICE}" if edge in self._commanded else f"NCMD/{edge}"
        self._commanded.discard(edge)
        self.connection.publish_once(fence_topic(f"{self._prefix}/{where}"), token.encode())

    async def fence_self(self, token: str) -> None:
        """Mark a point in what we receive, again and again until cancelled: a broker may lose what has QoS 0."""
        while True:
            self._command(f"NCMD/{self.fence_node}", FENCE, token)
            await asyncio.sleep(_FENCE_EVERY_S)

    def command(self, edge: str, serial: str, metric: int | str, envelope: bytes) -> None:
        """Send a signed command to a device, whose birth gave that metric this alias, or this name alone."""
        self._commanded.add(edge)
        self._command(f"DCMD/{edge}/{serial}", metric, envelope.decode("ascii"))

    def _command(self, where: str, metric: str | int, value: bool | str) -> None:
        payload = encode_command([(metric, value)], time_ms=int(self._clock.now() * 1000))
        self.connection.publish_once(f"{self._prefix}/{where}", payload)

    def _received(self, topic: str, payload: bytes, packet_id: int) -> None:
        if packet_id:
            # The session is clean: what we do not commit will not come again.
            self.connection.acknowledge([packet_id])
        if topic == self._state_topic:
            self._state_heard(payload)
        else:
            self._on_message(topic, payload)

    def next_due_s(self) -> float | None:
        """The next instant at which `advance` has something to do."""
        due_s = 0.0 if self.is_contradicted else self._presence.due_s()
        return None if due_s is None else max(due_s, self._clock.now())

    def advance(self, now_s: float) -> None:
        """Answer what is said of us in our name."""
        if not self.connection.connected:
            return
        match self._presence.take(now_s):
            case Answer.SAY_AGAIN:
                logger().warning("our STATE was overwritten: published again", topic=self._state_topic)
                self._publish_state(self._presence.birth())
            case Answer.COME_ANEW:
                logger().warning("our STATE was overwritten by a newer one: connecting anew", topic=self._state_topic)
                # The specification wants this at once (5.4), though collectors pass over it: it is the older one.
                self._publish_state(self._presence.birth())
                self.is_contradicted = True

    def _state_heard(self, payload: bytes) -> None:
        rival_ms = self._presence.heard(payload)
        if rival_ms is not None:
            logger().error(
                "another host application has our name: collectors follow whoever came last; stop one of the two, or "
                "give it another sparkplug_host_id",
                topic=self._state_topic,
                since_ms=rival_ms,
            )
        self.advance(self._clock.now())

    def _will(self) -> Will:
        return Will(self._state_topic, self._presence.coming(self._clock.now()))

    def _publish_state(self, state: bytes) -> None:
        self.connection.publish(self._state_topic, state, retain=True)
