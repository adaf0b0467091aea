"""The rules of a session: what follows what, and when births are asked for anew."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headend.drivers import DecodeError
from headend.links.sparkplug.payload import Payload, decode_payload
from headend.links.sparkplug.session import MAX_METRICS, MAX_NAME, EdgeBirth, EdgeDeath, EdgeSession
from tests.headend.sparkplug_edge import M, payload

FOREIGN = 9
KNOWN = frozenset("abcdef")


def message(*metrics: M, seq: int | None = None) -> Payload:
    return decode_payload(payload(metrics, seq=seq))


def node_birth(bdseq: int = 0, seq: int | None = 0) -> Payload:
    return message(M(8, bdseq, "bdSeq"), seq=seq)


def device_birth(seq: int, alias: int = 1) -> Payload:
    return message(M(4, 5, "energy", alias), seq=seq)


def data(seq: int, alias: int = 1) -> Payload:
    return message(M(4, 5, "", alias, typed=False), seq=seq)


def born(bdseq: int = 0) -> EdgeSession:
    session = EdgeSession(KNOWN)
    session.node_birth(node_birth(bdseq))
    session.device_birth("a", device_birth(1))
    return session


def read(session: EdgeSession, sent: Payload) -> list[str]:
    return [value.name for value in session.named(sent, session.device_data("a", sent))]


def test_aliases_mean_what_the_birth_said() -> None:
    assert read(born(), data(2)) == ["energy"]


def test_numbers_start_again_after_255() -> None:
    session = born()
    for seq in range(2, 600):
        read(session, data(seq % 256))
    assert not session.wants_rebirth


@given(st.integers(0, 255), st.integers(0, 255))
def test_a_missing_number_asks_for_a_rebirth_and_the_data_are_read_all_the_same(first: int, jump: int) -> None:
    session = EdgeSession(KNOWN)
    session.node_birth(node_birth(seq=first))
    session.device_birth("a", device_birth((first + 1) % 256))
    assert read(session, data((first + 2 + jump) % 256)) == ["energy"]
    assert session.wants_rebirth == (jump != 0)


def wanted(session: EdgeSession) -> bool:
    return session.wants_rebirth


def test_a_second_gap_before_the_birth_ends_the_trust_in_aliases() -> None:
    session = born()
    read(session, data(5))
    session.wants_rebirth = False
    with pytest.raises(DecodeError, match="sequence_gap"):
        read(session, data(9))
    assert wanted(session)
    with pytest.raises(DecodeError, match="no_birth"):
        read(session, data(10))
    session.node_birth(node_birth())
    assert not wanted(session)
    session.device_birth("a", device_birth(1))
    assert read(session, data(2)) == ["energy"]
    read(session, data(7))


@pytest.mark.parametrize("number", [None, 256, 2**64 - 1])
def test_a_message_without_a_number_is_refused(number: int | None) -> None:
    with pytest.raises(DecodeError, match="bad_structure"):
        read(born(), message(M(4, 5, "", 1), seq=number))
    with pytest.raises(DecodeError, match="bad_structure"):
        EdgeSession(KNOWN).node_birth(node_birth(seq=number))


def test_without_a_birth_nothing_is_understood() -> None:
    for session, device in ((EdgeSession(KNOWN), "a"), (born(), "b")):
        with pytest.raises(DecodeError, match="no_birth"):
            session.device_data(device, data(2))
        assert wanted(session)


def test_an_unknown_alias_asks_for_a_rebirth() -> None:
    session = born()
    with pytest.raises(DecodeError, match="unknown_alias"):
        read(session, data(2, alias=FOREIGN))
    assert wanted(session)


def test_after_a_new_birth_of_the_node_its_devices_are_unborn_until_their_own() -> None:
    session = born()
    assert session.node_birth(node_birth()) == EdgeBirth(0, again=True)
    assert not session.has("a")
    with pytest.raises(DecodeError, match="no_birth"):
        read(session, data(1))


def test_births_are_complete_with_the_first_other_message() -> None:
    session = born()
    assert session.births_complete()
    assert not session.births_complete()


@pytest.mark.parametrize(
    "metrics",
    [
        [M(8, 1, "bdSeq"), M(4, 1, "")],
        [M(8, 1, "bdSeq"), M(4, 1, "x", typed=False)],
        [M(8, 1, "bdSeq"), M(4, 1, "x"), M(4, 1, "x")],
        [M(8, 1, "bdSeq", 4), M(4, 1, "x", 4)],
        [M(8, None, "bdSeq")],
        [M(8, 256, "bdSeq")],
        [M(12, "1", "bdSeq")],
        [],
    ],
)
def test_under_a_birth_that_cannot_be_read_nothing_is(metrics: list[M]) -> None:
    session = born()
    with pytest.raises(DecodeError, match="bad_structure"):
        session.node_birth(message(*metrics, seq=0))
    with pytest.raises(DecodeError, match="no_birth"):
        read(session, data(2))


def test_the_will_of_an_earlier_session_is_no_death() -> None:
    session = born(bdseq=3)
    assert session.node_death(node_birth(2, None)) is None
    assert read(session, data(2)) == ["energy"]
    assert session.node_death(node_birth(3, None)) == EdgeDeath(3)
    with pytest.raises(DecodeError, match="no_birth"):
        read(session, data(3))


def test_a_device_that_died_has_to_be_born_again() -> None:
    session = born()
    session.device_death("a", message(seq=2))
    with pytest.raises(DecodeError, match="no_birth"):
        read(session, data(3))
    session.device_birth("a", device_birth(4, alias=FOREIGN))
    assert read(session, data(5, alias=FOREIGN)) == ["energy"]


def kept(session: EdgeSession) -> int:
    """Bytes that a session holds on to."""
    seen: set[int] = set()

    def size(thing: object) -> int:
        if id(thing) in seen:
            return 0
        seen.add(id(thing))
        inner = [*thing, *thing.values()] if isinstance(thing, dict) else thing if isinstance(thing, tuple) else ()
        return sys.getsizeof(thing) + sum(size(part) for part in inner)

    return size({name: getattr(session, name) for name in EdgeSession.__slots__})


def wide(seq: int, metrics: int, name: str = "metric") -> Payload:
    return message(*(M(4, 5, f"{name}{number}", number) for number in range(metrics)), seq=seq)


def test_nothing_is_kept_of_devices_that_are_behind_another_edge_node() -> None:
    session = born()
    before = kept(session)
    for number in range(300):
        assert session.device_birth(f"stranger{number}", wide((2 + number) % 256, 200, f"name of {number} ")) == {}
    assert session.device_data("stranger1", data((2 + 300) % 256)) == {}
    assert not wanted(session)
    assert kept(session) == before
    assert not session.has("stranger1")
    assert read(session, data((2 + 301) % 256)) == ["energy"]


@pytest.mark.parametrize(
    ("birth", "reason"),
    [
        (wide(2, MAX_METRICS + 1), "too_many_metrics"),
        (wide(2, 1, "n" * MAX_NAME), "too_long_name"),
        (message(M(4, 5, "one", 1), M(4, 5, "two", 1), seq=2), "bad_structure"),
    ],
)
def test_a_birth_that_is_refused_costs_its_device_alone_and_no_rebirth(birth: Payload, reason: str) -> None:
    session = born()
    with pytest.raises(DecodeError) as error:
        session.device_birth("b", birth)
    assert error.value.reason == reason
    assert session.has("b"), "it is there"
    for number in range(3, 6):
        with pytest.raises(DecodeError, match="refused_birth"):
            session.device_data("b", data(number))
    assert not wanted(session)
    assert read(session, data(6)) == ["energy"]
    session.device_birth("b", device_birth(7))
    assert session.device_data("b", data(8))


def test_a_node_birth_that_is_refused_leaves_its_devices_alone() -> None:
    session = EdgeSession(KNOWN)
    with pytest.raises(DecodeError, match="too_many_metrics"):
        session.node_birth(message(M(8, 0, "bdSeq"), *many(), seq=0))
    session.device_birth("a", device_birth(1))
    assert read(session, data(2)) == ["energy"]
    with pytest.raises(DecodeError, match="refused_birth"):
        session.node_data(data(3))
    assert not wanted(session)


def many() -> list[M]:
    return [M(4, 5, f"metric{number}", number) for number in range(MAX_METRICS * 2)]


def test_the_widest_births_of_a_large_edge_node_fit_in_memory() -> None:
    devices = frozenset(f"meter{number}" for number in range(200))
    session = EdgeSession(devices)
    session.node_birth(node_birth())
    for number, device in enumerate(sorted(devices)):
        name = f"{number}/".ljust(MAX_NAME - 4, "x")
        session.device_birth(device, wide((1 + number) % 256, MAX_METRICS, name))
    assert kept(session) < 40_000_000
