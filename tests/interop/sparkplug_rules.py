"""The rules of Sparkplug 3.0 for an edge node, held against everything that was heard of one, in its order.

An independent reading of the specification: sections 5 (operational behaviour) and 6 (payloads), and of
docs/wire-sparkplug.md where that is stricter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tests.interop.connects import Connect
from tests.interop.listener import Heard
from tests.interop.sparkplug_wire import BOOLEAN, UINT64, Metric, Payload

EDGE_KINDS = ("NBIRTH", "DBIRTH", "NDATA", "DDATA", "NDEATH", "DDEATH")
_NODE = None


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
    for before, after in pairwise(numbers):
        assert after == (before + 1) % 256, "each connection raises bdSeq by one"
    return numbers


def check_edge(heard: Sequence[Heard], *, group: str, edge: str) -> list[int]:
    """Checks all messages of an edge node from its first on; returns the bdSeq of each NBIRTH."""
    session: _Session | None = None
    births = []
    for message in heard:
        _, spoken_group, kind, spoken_edge, *_ = message.topic.split("/")
        if kind not in EDGE_KINDS or spoken_edge != edge:
            continue
        assert spoken_group == group
        assert (message.device is None) == kind.startswith("N")
        assert not message.retain, f"{kind} is not retained"
        assert message.qos == (1 if kind == "NDEATH" else 0), f"{kind} with QoS {message.qos}"
        payload = message.spb
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
    """A birth lists each metric once, with name, type and timestamp; a device's birth gives it new aliases."""
    assert len(set(payload.names)) == len(payload.names)
    session.aliases = {alias: owner for alias, owner in session.aliases.items() if owner[0] != device}
    for metric in payload.metrics:
        assert metric.name, "a metric of a birth without a name"
        assert metric.datatype is not None, f"{metric.name} without a type"
        _check_value(metric)
        if metric.alias is not None:
            assert metric.alias not in session.aliases, f"alias {metric.alias} of {metric.name} is taken"
            session.aliases[metric.alias] = (device, metric.name)


def _check_value(metric: Metric) -> None:
    assert metric.timestamp_ms is not None, f"{metric.name or metric.alias} without a timestamp"
    assert metric.is_null == (metric.value is None), f"{metric.name or metric.alias}: null and a value, or neither"


def _check_node_birth(payload: Payload) -> int:
    assert payload.seq == 0, "NBIRTH has seq 0"
    rebirth = payload.named("Node Control/Rebirth")
    assert (rebirth.datatype, rebirth.value) == (BOOLEAN, False)
    bd_seq = payload.named("bdSeq")
    assert bd_seq.datatype == UINT64
    return _bd_seq(bd_seq)


def _bd_seq_of_death(payload: Payload) -> int:
    assert payload.seq is None, "NDEATH has no seq"
    assert payload.names == ["bdSeq"], "NDEATH has bdSeq alone"
    return _bd_seq(payload.metrics[0])


def _bd_seq(metric: Metric) -> int:
    assert isinstance(metric.value, int)
    assert 0 <= metric.value < 256
    return metric.value
