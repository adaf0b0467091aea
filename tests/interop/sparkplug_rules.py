"""The rules of Sparkplug 3.0 for an edge node and for commands, held against everything that was heard, in its order.

An independent reading of the specification: sections 5 (operational behaviour) and 6 (payloads), and of
docs/wire-sparkplug.md where that is stricter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tests.interop.connects import Connect
from tests.interop.listener import Heard
from tests.interop.sparkplug_wire import BOOLEAN, INT64, Metric, Payload

EDGE_KINDS = ("NBIRTH", "DBIRTH", "NDATA", "DDATA", "NDEATH", "DDEATH")
_NODE = None
_REBIRTH = "Node Control/Rebirth"
_DATA_TYPES = range(1, 35)
_RESERVED = frozenset("+/#")


@dataclass
class _Session:
    """What is known since the last NBIRTH."""

    bd_seq: int
    next_seq: int = 1
    aliases: dict[int, tuple[str | None, str]] = field(default_factory=dict)
    devices: set[str] = field(default_factory=set)


def check_connects(connects: Sequence[Connect], *, group: str, edge: str) -> list[int]:
    """Checks the CONNECT packets of an edge node; returns the bdSeq of each."""
    for connect in connects:
        assert connect.level == 4, "MQTT 3.1.1"
        assert connect.clean_session
        assert connect.keep_alive_s == 60
        will = connect.will
        assert will is not None
        assert will.topic == f"spBv1.0/{group}/NDEATH/{edge}"
        assert (will.qos, will.retain) == (1, False)
    numbers = [_bd_seq_of_death(connect.will.spb) for connect in connects if connect.will]
    assert numbers[0] == 0, "the first connection's is zero"
    for before, after in pairwise(numbers):
        assert after == (before + 1) % 256, "each connection raises bdSeq by one"
    return numbers


def check_edge(heard: Sequence[Heard], *, group: str, edge: str) -> list[int]:
    """Checks all messages of an edge node from its first on; returns the bdSeq of each NBIRTH."""
    session: _Session | None = None
    births = []
    for message in heard:
        namespace, spoken_group, kind, spoken_edge, *device = message.topic.split("/")
        if kind not in EDGE_KINDS or spoken_edge != edge:
            continue
        assert (namespace, spoken_group) == ("spBv1.0", group)
        assert len(device) == (0 if kind.startswith("N") else 1)
        assert not _RESERVED & set("".join((spoken_group, spoken_edge, *device)))
        assert (message.device is None) == kind.startswith("N")
        assert not message.retain, f"{kind} is not retained"
        assert message.qos == (1 if kind == "NDEATH" else 0), f"{kind} with QoS {message.qos}"
        payload = message.spb
        _check_chronology(kind, payload)
        if kind == "NDEATH":
            number = _bd_seq_of_death(payload)
            assert session is None or number == session.bd_seq, "NDEATH repeats the bdSeq of its NBIRTH"
            session = None
            continue
        assert payload.timestamp_ms is not None, f"{kind} without a timestamp"
        if kind == "NBIRTH":
            number = _check_node_birth(payload)
            assert session is None or number == session.bd_seq, "a rebirth repeats the bdSeq"
            session = _Session(number)
            _define(session, _NODE, payload)
            births.append(number)
            continue
        assert session is not None, f"{kind} before NBIRTH"
        assert payload.seq == session.next_seq, f"{kind} has seq {payload.seq}, not {session.next_seq}"
        session.next_seq = (session.next_seq + 1) % 256
        _check_device(session, kind, message.device, payload)
    return births


def check_command(message: Heard) -> None:
    """Checks an NCMD or a DCMD of a host application."""
    _, _, kind, *names = message.topic.split("/")
    assert (kind, len(names)) in (("NCMD", 1), ("DCMD", 2))
    assert (message.qos, message.retain) == (0, False), f"{kind} with QoS {message.qos}"
    assert message.spb.timestamp_ms is not None
    assert message.spb.seq is None, "only edge nodes number their messages"
    assert message.spb.metrics, f"{kind} writes nothing"
    for metric in message.spb.metrics:
        assert (metric.name is None) != (metric.alias is None), "a name or an alias, not both"
        assert metric.datatype is None, "the type stands in the birth"
        assert metric.value is not None
        assert metric.timestamp_ms is not None


def names_of(births: Sequence[Heard]) -> dict[int, str]:
    """Alias to name, from the births given."""
    return {
        metric.alias: metric.name
        for birth in births
        for metric in birth.spb.metrics
        if metric.alias is not None and metric.name is not None
    }


def _check_device(session: _Session, kind: str, device: str | None, payload: Payload) -> None:
    if kind == "DBIRTH":
        assert device is not None
        assert device.lower() not in {name.lower() for name in session.devices - {device}}
        session.devices.add(device)
        _define(session, device, payload)
        return
    if kind == "DDEATH":
        assert device in session.devices, "DDEATH of a device that is not born"
        session.devices.discard(str(device))
        return
    assert device is _NODE or device in session.devices, f"{kind} of {device} before its birth"
    assert payload.metrics, f"{kind} says nothing"
    for metric in payload.metrics:
        assert metric.name is None, f"{metric.name} by name, though it has an alias"
        assert metric.datatype is None, "the type stands in the birth"
        assert metric.alias in session.aliases, f"alias {metric.alias} before its definition"
        assert session.aliases[metric.alias][0] == device, f"alias {metric.alias} belongs to another"
        _check_value(metric)


def _define(session: _Session, device: str | None, payload: Payload) -> None:
    """A birth lists each metric once, with name, alias, type and timestamp; a device's birth gives it new aliases."""
    assert len({str(name).lower() for name in payload.names}) == len(payload.names)
    session.aliases = {alias: owner for alias, owner in session.aliases.items() if owner[0] != device}
    for metric in payload.metrics:
        assert metric.name, "a metric of a birth without a name"
        assert metric.datatype in _DATA_TYPES, f"{metric.name} without a type"
        _check_value(metric)
        if metric.name == _REBIRTH:
            assert metric.alias is None, "hosts ask for a rebirth before they know an alias"
            continue
        assert metric.alias is not None, f"{metric.name} has no alias, though others have"
        assert metric.alias not in session.aliases, f"alias {metric.alias} of {metric.name} is taken"
        session.aliases[metric.alias] = (device, metric.name)


def _check_chronology(kind: str, payload: Payload) -> None:
    """The time of what is not historical never falls from one metric to the next."""
    times_ms = [metric.timestamp_ms or 0 for metric in payload.metrics if not metric.is_historical]
    assert times_ms == sorted(times_ms), f"{kind} has an older value behind a newer one"


def _check_value(metric: Metric) -> None:
    assert metric.timestamp_ms is not None, f"{metric.name or metric.alias} without a timestamp"
    assert metric.is_null == (metric.value is None), f"{metric.name or metric.alias}: null and a value, or neither"


def _check_node_birth(payload: Payload) -> int:
    assert payload.seq == 0, "NBIRTH has seq 0"
    rebirth = payload.named(_REBIRTH)
    assert (rebirth.datatype, rebirth.value) == (BOOLEAN, False)
    bd_seq = payload.named("bdSeq")
    return _bd_seq(bd_seq)


def _bd_seq_of_death(payload: Payload) -> int:
    assert payload.seq is None, "NDEATH has no seq"
    assert payload.names == ["bdSeq"], "NDEATH has bdSeq alone"
    assert payload.metrics[0].alias is None, "there may be no birth before it"
    return _bd_seq(payload.metrics[0])


def _bd_seq(metric: Metric) -> int:
    assert metric.datatype == INT64
    assert isinstance(metric.value, int)
    assert 0 <= metric.value < 256
    return metric.value
