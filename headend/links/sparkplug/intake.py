"""Meters behind collectors: from Sparkplug topics and payloads to records (docs/wire-sparkplug.md)."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from headend.drivers import DecodeError
from headend.links.sparkplug.devices import Devices
from headend.links.sparkplug.host import COMMAND, FENCE, NAMESPACE
from headend.links.sparkplug.payload import Payload, decode_payload, raw_of
from headend.links.sparkplug.rebirths import Rebirths
from headend.links.sparkplug.session import EdgeSession
from headend.reads import collectors
from headend.reads.record import Recorder
from headend.registry import EndDevice
from headend.settings import HeadEndSettings
from headend.store.batch import Batch

#: A collector that has sent no birth by then, after we came ourselves, is asked: it may have sent it before we heard.
CENSUS_AFTER_S = 10.0
#: A collector that has not come by then, after we came ourselves, is not there.
ABSENT_AFTER_S = 300.0
_METERS = "Properties/Meters"
_MAINS = "Power/Mains"
_MAX_METERS = 2**31 - 1


class SparkplugIntake:
    """Takes what arrives under `spBv1.0/<group>/`.

    `ask_for_rebirth(edge node)` sends the request; `on_birth(meter)` is called for a meter whose birth has come,
    `on_fence(token)` for a fence of our own to `fence_node`, `uncounted()` for a message that nobody sent to us.
    """

    def __init__(
        self,
        settings: HeadEndSettings,
        devices: Sequence[EndDevice],
        recorder: Recorder,
        *,
        fence_node: str,
        ask_for_rebirth: Callable[[str], None],
        on_birth: Callable[[EndDevice], None],
        on_fence: Callable[[str], None],
        uncounted: Callable[[], None],
    ) -> None:
        self._group = settings.group
        self._fence_node = fence_node
        self._rebirths = Rebirths(ask_for_rebirth)
        self._on_birth = on_birth
        self._on_fence = on_fence
        self._uncounted = uncounted
        self._devices = Devices(devices, recorder, group=settings.group)
        self._edges: dict[str, list[EndDevice]] = defaultdict(list)
        for device in devices:
            if device.driver.capabilities.needs_collector and device.group == settings.group:
                self._edges[device.address].append(device)
        self._sessions = {
            edge: EdgeSession(frozenset(device.serial for device in members)) for edge, members in self._edges.items()
        }
        self._census_at_s: float | None = None
        self._absent_at_s: float | None = None

    @property
    def edges(self) -> frozenset[str]:
        """The collectors of the registry."""
        return frozenset(self._edges)

    def command_metric(self, device: EndDevice) -> int | str | None:
        """By which alias, or name, the meter's present birth wants commands; None: it has none that we know."""
        session = self._sessions.get(device.address)
        return None if session is None else session.written_as(device.serial, COMMAND)

    def connected(self, now_s: float) -> None:
        """We are there: collectors send their births now."""
        self._census_at_s = now_s + CENSUS_AFTER_S
        self._absent_at_s = now_s + ABSENT_AFTER_S

    def disconnected(self) -> None:
        """What edge nodes say from now on we do not hear: when we are back, their births count."""
        self._census_at_s = self._absent_at_s = None
        self._rebirths.forget()
        for session in self._sessions.values():
            session.forget()

    def next_due_s(self) -> float | None:
        """The next instant at which `advance` has something to do."""
        wishes_s = (self._rebirths.next_due_s(), self._census_at_s, self._absent_at_s)
        return min((due_s for due_s in wishes_s if due_s is not None), default=None)

    def advance(self, batch: Batch, now_s: float) -> None:
        """Ask for the rebirths that had to wait and for births not heard; note which collectors have not come."""
        if self._census_at_s is not None and self._census_at_s <= now_s:
            self._census_at_s = None
            for edge, session in self._sessions.items():
                if not session.online:
                    self._rebirths.want(edge, now_s)
        self._rebirths.advance(now_s)
        if self._absent_at_s is not None and self._absent_at_s <= now_s:
            self._absent_at_s = None
            for edge, session in self._sessions.items():
                if not session.online:
                    self._edge_gone(batch, edge, None, now_s)

    def receive(self, batch: Batch, topic: str, payload: bytes, now_s: float) -> None:
        """Record one message. Raises DecodeError; a rebirth is asked for where one was missed."""
        parts = topic.split("/")
        if not 4 <= len(parts) <= 5 or parts[0] != NAMESPACE:
            raise DecodeError("unknown_topic", f"not {NAMESPACE}/<group>/<type>/<edge node>[/<device>]")
        kind, edge = parts[2], parts[3]
        device = parts[4] if len(parts) == 5 else None
        if kind in ("NCMD", "DCMD"):
            self._echo(edge, payload)
            return
        session = self._sessions.get(edge)
        if session is None or parts[1] != self._group:
            raise DecodeError("unknown_collector", f"{edge} is not the collector of any registered device")
        try:
            self._take(batch, kind, session, edge, device, payload, now_s)
        finally:
            if session.wants_rebirth:
                session.wants_rebirth = False
                self._rebirths.want(edge, now_s)

    def _take(
        self, batch: Batch, kind: str, session: EdgeSession, edge: str, device: str | None, payload: bytes, now_s: float
    ) -> None:
        try:
            message = decode_payload(payload)
        except DecodeError:
            if kind == "NBIRTH":
                session.forget()
            raise
        if device is None:
            if kind == "NBIRTH":
                self._node_birth(batch, session, edge, message, now_s)
            elif kind == "NDATA":
                values = session.named(message, session.node_data(message))
                self._births_complete(batch, session, edge, now_s)
                self._node_supply(batch, edge, ((value.name, value.value) for value in values), now_s)
            elif kind == "NDEATH":
                death = session.node_death(message)
                if death is not None:
                    self._rebirths.settled(edge)
                    self._edge_gone(batch, edge, death.bdseq, now_s)
            else:
                raise DecodeError("unknown_topic", f"there is no message {kind} of an edge node")
        elif kind == "DBIRTH":
            definitions = session.device_birth(device, message)
            meter = self._devices.named(device, edge)
            self._devices.birth(batch, meter, lambda: session.named(message, definitions), now_s)
            self._on_birth(meter)
        elif kind == "DDATA":
            definitions = session.device_data(device, message)
            self._births_complete(batch, session, edge, now_s)
            meter = self._devices.named(device, edge)
            self._devices.data(batch, meter, session.named(message, definitions), now_s)
        elif kind == "DDEATH":
            session.device_death(device, message)
            try:
                self._devices.died(batch, self._devices.named(device, edge), message.time_ms, now_s)
            finally:
                self._births_complete(batch, session, edge, now_s)
        else:
            raise DecodeError("unknown_topic", f"there is no message {kind} of a device")

    def _node_birth(self, batch: Batch, session: EdgeSession, edge: str, message: Payload, now_s: float) -> None:
        birth = session.node_birth(message)
        self._rebirths.settled(edge)
        meters = next((raw_of(metric) for metric in message.metrics if metric.name == _METERS), None)
        if type(meters) is not int or meters > _MAX_METERS:
            meters = None
        collectors.collector(batch, self._group, edge, now_s, online=True, bdseq=birth.bdseq, meters=meters)
        self._node_supply(batch, edge, ((metric.name, raw_of(metric)) for metric in message.metrics), now_s)

    def _node_supply(self, batch: Batch, edge: str, values: Iterable[tuple[str, object]], now_s: float) -> None:
        """Whether a collector has supply is news of the collector: of their own, meters speak themselves."""
        for name, value in values:
            if name == _MAINS and isinstance(value, bool):
                collectors.collector_supply(batch, self._group, edge, now_s, mains=value)

    def _births_complete(self, batch: Batch, session: EdgeSession, edge: str, now_s: float) -> None:
        """Births come first: a meter that has none by now cannot be reached."""
        if session.births_complete():
            for device in self._edges[edge]:
                if not session.has(device.serial):
                    self._devices.gone(batch, device, now_s)

    def _edge_gone(self, batch: Batch, edge: str, bdseq: int | None, now_s: float) -> None:
        collectors.collector(batch, self._group, edge, now_s, online=False, bdseq=bdseq)
        for device in self._edges[edge]:
            self._devices.gone(batch, device, now_s)

    def _echo(self, edge: str, payload: bytes) -> None:
        """What hosts say to edge nodes comes back to us; only our own fence concerns us."""
        if edge != self._fence_node:
            self._uncounted()
            return
        for metric in decode_payload(payload).metrics:
            if metric.name == FENCE and isinstance(token := raw_of(metric), str):
                self._on_fence(token)
