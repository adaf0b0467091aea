"""What the messages of one edge node mean one after the other: births, aliases, sequence numbers, deaths. Pure.

Data mean something only under the birth that went before. Where a message shows that one was missed, `wants_rebirth`
is set; who owns the session sends the request. One missing number alone leaves aliases as they are: it was a message
of the same session, for a session that ended would have said so. A second one before the new birth may have been that
very birth, so from there on nothing is understood.
"""

from collections.abc import Set
from dataclasses import dataclass, field
from typing import NamedTuple

from headend.drivers import DecodeError, NamedValue
from headend.links.sparkplug.payload import Payload, alias_of, raw_of, time_ms_of, value_of

BDSEQ = "bdSeq"
#: Metrics that a birth may define. The lab's meters have some 90, the widest meters in public profiles about 200.
MAX_METRICS = 256
#: Characters of a metric's name.
MAX_NAME = 256
_SEQUENCE = 256
# The constructor of a NamedTuple is Python; this is hot.
_new = tuple.__new__


class Definition(NamedTuple):
    """What a birth says of a metric."""

    name: str
    datatype: int


Definitions = dict[int | str, Definition]

#: Stands for the definitions of a birth that could not be taken.
_REFUSED: Definitions = {}


class EdgeBirth(NamedTuple):
    """An edge node was born. `again`: in the session that it had already."""

    bdseq: int
    again: bool


class EdgeDeath(NamedTuple):
    """An edge node is gone, and its devices with it."""

    bdseq: int


@dataclass(slots=True)
class EdgeSession:
    """One edge node. Methods raise DecodeError for what cannot be understood, after taking note of its number.

    `known`: the devices behind it. Of others nothing is kept, and their data have no definitions.
    """

    known: Set[str]
    online: bool = False
    bdseq: int | None = None
    wants_rebirth: bool = False
    _next: int = 0
    _gap_seen: bool = False
    _births_last: bool = False
    _node: Definitions = field(default_factory=dict)
    _devices: dict[str, Definitions] = field(default_factory=dict)

    def node_birth(self, payload: Payload) -> EdgeBirth:
        """NBIRTH: everything begins anew."""
        was_online, earlier = self.online, self.bdseq
        # What holds under a birth that we cannot read, we do not know.
        self.forget()
        if payload.seq is None or not payload.seq < _SEQUENCE:
            raise DecodeError("bad_structure", f"the sequence number {payload.seq} of a birth is not from 0 to 255")
        self.bdseq = _bdseq_of(payload)
        self._next = (payload.seq + 1) % _SEQUENCE
        self.online = self._births_last = True
        self._node = _REFUSED
        self._node = _definitions_of(payload)
        return EdgeBirth(self.bdseq, again=was_online and earlier == self.bdseq)

    def node_death(self, payload: Payload) -> EdgeDeath | None:
        """NDEATH; None for that of an earlier session, which says nothing of this one."""
        bdseq = _bdseq_of(payload)
        if self.online and self.bdseq != bdseq:
            return None
        self.forget()
        return EdgeDeath(bdseq)

    def forget(self) -> None:
        """The session is over, or we cannot know any more what became of it."""
        self.online = self.wants_rebirth = self._gap_seen = self._births_last = False
        self._node, self._devices = {}, {}

    def device_birth(self, device: str, payload: Payload) -> Definitions:
        """DBIRTH: the definitions that hold for this device from now on."""
        self._number(payload)
        if device not in self.known:
            return {}
        self._devices[device] = _REFUSED
        definitions = self._devices[device] = _definitions_of(payload)
        return definitions

    def device_data(self, device: str, payload: Payload) -> Definitions:
        """DDATA: the definitions to read it by."""
        self._number(payload)
        if device not in self.known:
            return {}
        definitions = self._devices.get(device)
        if definitions is None:
            raise self._unborn(device)
        return _taken(definitions, device)

    def device_death(self, device: str, payload: Payload) -> None:
        """DDEATH."""
        self._number(payload)
        self._devices.pop(device, None)

    def node_data(self, payload: Payload) -> Definitions:
        """NDATA: the definitions to read it by."""
        self._number(payload)
        return _taken(self._node, "the edge node")

    def births_complete(self) -> bool:
        """True once after an NBIRTH, if asked after a message that is no birth: who is not born is not there."""
        first, self._births_last = self._births_last and self.online, False
        return first

    def has(self, device: str) -> bool:
        """Whether the device is born."""
        return device in self._devices

    def written_as(self, device: str, name: str) -> int | str | None:
        """The alias by which the device's birth wants this metric written, or its name; None: there is no birth."""
        definitions = self._devices.get(device)
        if definitions is None:
            return None
        return next(
            (key for key, defined in definitions.items() if isinstance(key, int) and defined.name == name), name
        )

    def named(self, payload: Payload, definitions: Definitions) -> list[NamedValue]:
        """The metrics of a message under the names that a birth gave to their aliases, or that they bring along."""
        values = []
        for metric in payload.metrics:
            key = metric.alias or (0 if metric.HasField("alias") else metric.name)
            found = definitions.get(key)
            if found is None:
                self.wants_rebirth = True
                raise DecodeError("unknown_alias", f"no birth has a metric {key!r:.60}")
            name, datatype = found
            values.append(_new(NamedValue, (name, time_ms_of(metric), value_of(metric, datatype))))
        return values

    def _number(self, payload: Payload) -> None:
        """Raises DecodeError where there is no birth to number from, or none to trust."""
        if not self.online:
            raise self._unborn("the edge node")
        seq = payload.seq
        if seq is None or not seq < _SEQUENCE:
            raise DecodeError("bad_structure", f"the sequence number is {seq}, not one from 0 to 255")
        expected, self._next = self._next, (seq + 1) % _SEQUENCE
        if seq == expected:
            return
        self.wants_rebirth = True
        if self._gap_seen:
            self.forget()
            self.wants_rebirth = True
            raise DecodeError("sequence_gap", f"{seq} follows where {expected} was due, and not for the first time")
        self._gap_seen = True

    def _unborn(self, what: str) -> DecodeError:
        self.wants_rebirth = True
        return DecodeError("no_birth", f"there is no birth of {what}")


def _bdseq_of(payload: Payload) -> int:
    for metric in payload.metrics:
        if metric.name == BDSEQ and type(number := raw_of(metric)) is int and number < _SEQUENCE:
            return number
    raise DecodeError("bad_structure", "there is no bdSeq from 0 to 255")


def _taken(definitions: Definitions, what: str) -> Definitions:
    if definitions is _REFUSED:
        raise DecodeError("refused_birth", f"the birth of {what} was refused")
    return definitions


def _definitions_of(birth: Payload) -> Definitions:
    if len(birth.metrics) > MAX_METRICS:
        raise DecodeError("too_many_metrics", f"{len(birth.metrics)} metrics in one birth, {MAX_METRICS} are taken")
    definitions: Definitions = {}
    for metric in birth.metrics:
        name, datatype = metric.name, metric.datatype
        if len(name) > MAX_NAME:
            raise DecodeError("too_long_name", f"{name:.60}… has {len(name)} characters, not {MAX_NAME}")
        if not name or not datatype:
            raise DecodeError("bad_structure", "a metric of a birth has no name or no data type")
        definition = Definition(name, datatype)
        for key in (name, alias_of(metric)):
            if key is not None and definitions.setdefault(key, definition) is not definition:
                raise DecodeError("bad_structure", f"{key!r:.60} is given to two metrics of one birth")
    return definitions
