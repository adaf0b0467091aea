"""Messages out of order are put in order, and nothing is lost, held for ever, or held for others."""

from hypothesis import given
from hypothesis import strategies as st

from headend.links.sparkplug.reordering import Message, Reordering
from tests.headend.sparkplug_edge import M, payload

NOW_S = 1_768_435_200.0
TIMEOUT_S = 2.0


def message(kind: str, seq: int | None, *, edge: str = "COL0001", mark: int = 0) -> Message:
    device = "/AMI1" if kind.startswith("D") else ""
    return f"spBv1.0/g/{kind}/{edge}{device}", payload([], seq=seq, time_ms=mark)


def born(*, timeout_s: float = TIMEOUT_S) -> Reordering:
    reordering = Reordering({"COL0001"}, timeout_s)
    assert reordering.heard(*message("NBIRTH", 0), NOW_S) == [message("NBIRTH", 0)]
    return reordering


@given(st.integers(1, 600), st.data())
def test_whatever_comes_in_groups_out_of_order_is_handed_on_in_order(count: int, data: st.DataObject) -> None:
    reordering = born()
    sent = [message("DDATA", (1 + number) % 256, mark=number) for number in range(count)]
    heard: list[Message] = []
    at = 0
    while at < count:
        group = sent[at : at + data.draw(st.integers(1, 60))]
        at += len(group)
        for each in data.draw(st.permutations(group)):
            heard += reordering.heard(*each, NOW_S)
    assert heard == sent
    assert reordering.next_due_s() is None


@given(st.lists(st.tuples(st.sampled_from(["DDATA", "NDATA", "NBIRTH", "NDEATH", "NCMD"]), st.integers(0, 300))))
def test_nothing_is_lost_and_nothing_waits_longer_than_the_timeout(said: list[tuple[str, int]]) -> None:
    reordering = born()
    sent, heard = [], []
    for number, (kind, seq) in enumerate(said):
        sent.append(message(kind, seq, mark=number))
        heard += reordering.heard(*sent[-1], NOW_S)
        due_s = reordering.next_due_s()
        assert due_s is None or due_s == NOW_S + TIMEOUT_S
    assert reordering.overdue(NOW_S + 1.9) == []
    heard += reordering.overdue(NOW_S + TIMEOUT_S)
    assert sorted(heard) == sorted(sent)
    assert reordering.next_due_s() is None


def test_each_waits_for_its_own_timeout() -> None:
    reordering = born()
    assert reordering.heard(*message("DDATA", 2), NOW_S) == []
    assert reordering.heard(*message("DDATA", 4), NOW_S + 1) == []
    assert reordering.heard(*message("DDATA", 1), NOW_S + 1.5) == [message("DDATA", 1), message("DDATA", 2)]
    assert reordering.next_due_s() == NOW_S + 1 + TIMEOUT_S


def test_strangers_garbage_and_heads_without_a_timeout_are_handed_on_as_they_come() -> None:
    reordering = born()
    for topic, data in (
        message("DDATA", 9, edge="COL0002"),
        ("spBv1.0/g/DDATA/COL0001/AMI1", b"\xff\xff"),
        message("DDATA", None),
        message("DDATA", 256),
        ("spBv1.0/nothing", b""),
    ):
        assert reordering.heard(topic, data, NOW_S) == [(topic, data)]
    assert born(timeout_s=0.0).heard(*message("DDATA", 9), NOW_S) == [message("DDATA", 9)]


def test_with_the_connection_nothing_waits_any_more() -> None:
    reordering = born()
    assert reordering.heard(*message("DDATA", 3), NOW_S) == []
    assert reordering.give_up() == [message("DDATA", 3)]
    assert reordering.heard(*message("DDATA", 9), NOW_S) == [message("DDATA", 9)]


def test_the_death_of_an_earlier_session_ends_no_order() -> None:
    """Where brokers are bridged, the will of a connection that was replaced may come after the new birth."""
    reordering = Reordering({"COL0001"}, TIMEOUT_S)
    births, deaths = (
        [(f"spBv1.0/g/{kind}/COL0001", payload([M(4, bdseq, "bdSeq")], seq=seq)) for bdseq in (0, 1)]
        for kind, seq in (("NBIRTH", 0), ("NDEATH", None))
    )
    for said in births:
        assert reordering.heard(*said, NOW_S) == [said]
    assert reordering.heard(*deaths[0], NOW_S) == [deaths[0]]
    assert reordering.heard(*message("DDATA", 2), NOW_S) == []
    assert reordering.heard(*message("DDATA", 1), NOW_S) == [message("DDATA", 1), message("DDATA", 2)]
    assert reordering.heard(*deaths[1], NOW_S) == [deaths[1]]
    assert reordering.heard(*message("DDATA", 9), NOW_S) == [message("DDATA", 9)], "nothing is known of a new session"
