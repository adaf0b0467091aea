"""The event stream: who is told what."""

from __future__ import annotations

from lab.live.feed import KEPT, Feed


def test_secrets_are_kept_and_told_once_they_are_none_any_more() -> None:
    feed = Feed()
    feed.tell(1, "lab", "fault", reveals="truth")
    feed.tell(2, "head-end", "outage found", reveals="outages")
    feed.tell(3, "head-end", "7 last gasps heard")
    assert [event.text for event in feed.after(0, ("truth", "outages"))] == ["7 last gasps heard"]
    assert [event.text for event in feed.after(0, {"truth"})] == ["outage found", "7 last gasps heard"]
    assert [event.text for event in feed.after(1)] == ["outage found", "7 last gasps heard"]


def test_the_oldest_are_forgotten() -> None:
    feed = Feed()
    for at_s in range(KEPT + 10):
        feed.tell(at_s, "lab", "news")
    assert [event.number for event in feed.after(0)][:1] == [11]


def test_listeners_are_woken_and_can_leave() -> None:
    feed = Feed()
    with feed.listening() as first, feed.listening() as second:
        assert first.is_set(), "there is something to see from the beginning"
        first.clear()
        second.clear()
        feed.tell(1, "lab", "news")
        assert first.is_set()
        assert second.is_set()
    assert feed.listeners == 0


def test_what_comes_late_is_told_at_its_place() -> None:
    feed = Feed()
    for at_s, text in ((10, "a"), (30, "b"), (20, "late"), (30, "c")):
        feed.tell(at_s, "lab", text)
    assert [event.text for event in feed.after(0)] == ["a", "late", "b", "c"]
    assert [event.text for event in feed.after(2)] == ["late", "c"]
