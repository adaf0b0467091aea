"""The link to collectors and the meters behind them (docs/wire-sparkplug.md)."""

import asyncio
from collections.abc import Callable, Collection, Sequence

from headend.clock import Clock
from headend.commands.outgoing import Outgoing
from headend.links.link import Notices
from headend.links.sparkplug.host import SparkplugHost
from headend.links.sparkplug.intake import SparkplugIntake
from headend.links.sparkplug.reordering import Message, Reordering
from headend.links.sparkplug.unborn import Unborn
from headend.metrics import Metrics
from headend.reads.ingest import Ingest
from headend.reads.record import Recorder
from headend.registry import EndDevice
from headend.settings import HeadEndSettings


class SparkplugLink:
    """What the host says, and what is heard of edge nodes and devices.

    `unsent(command's id, reason)`: a command waits, and that is why, in a word.
    """

    def __init__(
        self,
        settings: HeadEndSettings,
        clock: Clock,
        devices: Sequence[EndDevice],
        recorder: Recorder,
        ingest: Ingest,
        metrics: Metrics,
        notices: Notices,
        *,
        unsent: Callable[[str, str], None],
    ) -> None:
        self._clock = clock
        self._ingest = ingest
        self._metrics = metrics
        self._notices = notices
        self._unsent = unsent
        self._unborn = Unborn()
        self._host = SparkplugHost(
            settings,
            clock,
            on_message=self._heard,
            on_chunk=ingest.chunk_read,
            on_lost=self._lost,
            on_failure=notices.failed,
        )
        self._intake = SparkplugIntake(
            settings,
            devices,
            recorder,
            fence_node=self._host.fence_node,
            ask_for_rebirth=self._ask_for_rebirth,
            on_birth=self._born,
            on_fence=ingest.fence_read,
            uncounted=ingest.not_ours,
        )
        self._reordering = Reordering(self._intake.edges, settings.sparkplug_reorder_timeout_s)
        ingest.attach(self._host.connection)

    @property
    def connected(self) -> bool:
        return self._host.connection.connected

    async def connect(self) -> None:
        if not self.connected:
            await self._host.connect()
            self._intake.connected(self._clock.now())

    async def disconnect(self) -> None:
        was_connected = self.connected
        await self._host.disconnect()
        if was_connected:
            self._forget()

    async def fence(self) -> bool:
        connection = self._host.connection
        if not connection.connected:
            return False
        fencing: list[asyncio.Task[None]] = []
        try:
            passed = await self._ingest.fence(
                connection, lambda token: fencing.append(asyncio.create_task(self._host.fence_self(token)))
            )
        finally:
            for task in fencing:
                task.cancel()
        return passed and await connection.published()

    async def fence_stations(self, names: Collection[str], token: str) -> None:
        """Behind the DCMDs to each, or behind its NCMDs where there was none."""
        for edge in sorted(self._intake.edges.intersection(names)):
            self._host.fence_edge(edge, token)

    def reaches(self, device: EndDevice) -> bool:
        return device.driver.capabilities.needs_collector

    def send(self, command: Outgoing) -> None:
        """Once the meter's birth is known, which says what to write it by. Births that are missed are asked for."""
        device = command.device
        metric = self._intake.command_metric(device)
        if metric is None:
            self._unborn.wait(command)
            self._unsent(command.command_id, "no_birth")
            return
        self._host.command(device.address, device.serial, metric, command.envelope)
        self._notices.commanded(device.address)

    def next_due_s(self) -> float | None:
        hosts_s = self._host.next_due_s() if self.connected else None
        wishes_s = (hosts_s, self._intake.next_due_s(), self._reordering.next_due_s())
        return min((due_s for due_s in wishes_s if due_s is not None), default=None)

    async def advance(self, now_s: float) -> None:
        """Answer what is said in our name, ask for births that were missed, note who has not come."""
        self._host.advance(now_s)
        if self._host.is_contradicted:
            await self.disconnect()
            self._notices.lost()
        self._hand_on(self._reordering.overdue(now_s))
        self._ingest.chunk_read()
        self._ingest.record(lambda batch: self._intake.advance(batch, now_s))

    def hold(self) -> None:
        self._host.connection.hold()

    def drop(self) -> None:
        self._host.connection.drop()

    def _heard(self, topic: str, payload: bytes) -> None:
        messages = self._reordering.heard(topic, payload, self._clock.now())
        if not messages:
            self._notices.due()
        self._hand_on(messages)

    def _hand_on(self, messages: Sequence[Message]) -> None:
        for topic, payload in messages:
            self._ingest.receive(self._intake.receive, topic, payload, carrier=_edge_of(topic))

    def _born(self, device: EndDevice) -> None:
        for command in self._unborn.born(device.serial, self._clock.now()):
            self.send(command)

    def _ask_for_rebirth(self, edge: str) -> None:
        self._host.ask_for_rebirth(edge)
        self._notices.commanded(edge)
        self._metrics.rebirths.inc()

    def _lost(self) -> None:
        self._forget()
        self._notices.lost()

    def _forget(self) -> None:
        self._hand_on(self._reordering.give_up())
        self._ingest.chunk_read()
        self._ingest.connection_lost(self._host.connection)
        self._intake.disconnected()
        self._unborn.forget()


def _edge_of(topic: str) -> str:
    """The edge node of `spBv1.0/<group>/<type>/<edge>[/<device>]`."""
    parts = topic.split("/", 4)
    return parts[3] if len(parts) > 3 else ""
