from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meters.carriers.sparkplug.device_metrics import DeviceMetrics
from meters.carriers.sparkplug.edge import Edge
from meters.carriers.sparkplug.payload import decode_command
from meters.carriers.sparkplug.session import FIRST_BD_SEQ_AFTER, Move, Session
from meters.device.records import Event
from meters.vendors.sparkplug_mesh import wire as sparkplug_mesh
from tests.meters.sparkplug_reader import read, write

NOW_S = 1_768_435_200


def state(online: bool, timestamp_ms: int) -> bytes:
    return orjson.dumps({"online": online, "timestamp": timestamp_ms})


def edge(serials: int = 2, *, has_host: bool = False) -> Edge:
    session = Session(FIRST_BD_SEQ_AFTER, has_host=has_host)
    session.connecting()
    return Edge("g1", "COL1", [f"AMI{n}" for n in range(serials)], session, DeviceMetrics(sparkplug_mesh))


def test_each_connection_raises_the_session_number_modulo_256() -> None:
    session = Session(FIRST_BD_SEQ_AFTER, has_host=False)
    found = []
    for _ in range(258):
        session.connecting()
        found.append(session.bd_seq)
    assert found == [*range(256), 0, 1]


def test_will_and_births_of_a_connection_have_the_same_session_number() -> None:
    one = edge()
    for expected in (0, 1):
        topic, will = one.node_death(NOW_S)
        assert topic == "spBv1.0/g1/NDEATH/COL1"
        for _ in range(2):
            topic, birth = one.node_birth(NOW_S, mains=True)
            assert topic == "spBv1.0/g1/NBIRTH/COL1"
            assert read(birth).by_name()["bdSeq"].value == read(will).by_name()["bdSeq"].value == expected
        one.session.connecting()


@given(st.integers(0, 600))
def test_seq_counts_from_each_node_birth_modulo_256(messages: int) -> None:
    one = edge()
    for _ in range(2):
        assert read(one.node_birth(NOW_S, mains=True)[1]).seq == 0
        found = [read(one.death(NOW_S, number % 2)[1]).seq for number in range(messages)]
        assert found == [number % 256 for number in range(1, messages + 1)]


def test_all_of_a_collectors_messages_share_one_seq_and_no_alias() -> None:
    one = edge()
    event = Event(0, 1, "reboot", NOW_S, float(NOW_S), "{}")
    births = [one.birth(NOW_S, place, interval_length_s=900, boot=1, last=None) for place in (0, 1)]
    data = [one.event(NOW_S, 1, event, historical=False), one.boot(NOW_S, 0, 2), one.death(NOW_S, 1)]
    data.append(one.node_data(NOW_S, mains=False))
    assert [topic.split("/", 2)[2] for topic, _ in (*births, *data)] == [
        "DBIRTH/COL1/AMI0", "DBIRTH/COL1/AMI1", "DDATA/COL1/AMI1", "DDATA/COL1/AMI0", "DDEATH/COL1/AMI1",
        "NDATA/COL1",
    ]  # fmt: skip
    assert [read(payload).seq for _, payload in (*births, *data)] == [1, 2, 3, 4, 5, 6]
    births.append(one.node_birth(NOW_S, mains=True))
    aliases = [metric.alias for _, payload in births for metric in read(payload).metrics if metric.alias]
    assert len(set(aliases)) == len(aliases)
    mains = read(births[-1][1]).by_name()["Power/Mains"]
    assert (mains.value, [(m.alias, m.value) for m in read(data[-1][1]).metrics]) == (True, [(mains.alias, False)])
    boots = [metric.alias for metric in read(data[1][1]).metrics]
    assert boots == [read(births[0][1]).by_name()["Meter/Boot"].alias]


def test_a_device_command_is_known_by_name_and_by_alias() -> None:
    one = edge()
    alias = read(one.birth(NOW_S, 1, interval_length_s=900, boot=1, last=None)[1]).by_name()
    number = alias["Device Control/Command"].alias
    assert one.addressed("spBv1.0/g1/DCMD/COL1/AMI1") == 1
    assert one.addressed("spBv1.0/g1/DCMD/COL1/AMI9") is None
    cases: list[tuple[list[tuple[str | None, int | None, Any]], str | None]] = [
        ([("Device Control/Command", None, "jws")], "jws"),
        ([(None, number, "jws")], "jws"),
        ([(None, number, True)], ""),
        ([("Other", None, "jws")], None),
    ]
    for written, expected in cases:
        assert one.command_in(1, decode_command(write(written))) == expected


def may_be_born(session: Session) -> bool:
    return session.may_be_born


def test_without_a_host_nobody_is_waited_for() -> None:
    session = Session(0, has_host=False)
    assert may_be_born(session)
    session.be_born()
    assert session.on_state(state(False, 1)) is Move.STAY


def test_births_wait_for_the_host_and_end_with_it() -> None:
    session = Session(0, has_host=True)
    session.connecting()
    assert not may_be_born(session)
    assert session.on_state(state(False, 5)) is Move.STAY
    assert session.on_state(state(True, 10)) is Move.BE_BORN
    assert may_be_born(session)
    session.be_born()
    # The same once more, as after a subscription; a newer one, as after a reconnect that was not noticed.
    assert session.on_state(state(True, 10)) is Move.STAY
    assert session.on_state(state(True, 12)) is Move.STAY
    # The will of an older connection of the host.
    assert session.on_state(state(False, 10)) is Move.STAY
    assert may_be_born(session)
    assert session.on_state(state(False, 12)) is Move.LEAVE
    session.connecting()
    assert not may_be_born(session)
    assert session.on_state(state(False, 12)) is Move.STAY
    assert session.on_state(state(True, 11)) is Move.STAY
    assert session.on_state(state(True, 20)) is Move.BE_BORN


@pytest.mark.parametrize(
    "payload",
    [b"", b"ONLINE", b"[]", b"{}", b'{"online":1,"timestamp":1}', b'{"online":true,"timestamp":"now"}', b"\xff"],
)
def test_a_state_that_is_none_changes_nothing(payload: bytes) -> None:
    session = Session(0, has_host=True)
    session.connecting()
    assert session.on_state(payload) is Move.STAY
    assert not may_be_born(session)
