"""Events that are lost, and that overtake each other."""

from __future__ import annotations

from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from meters.device.records import Event
from meters.fleet.recording import Recording
from meters.fleet.telling import Telling

COUNT = 6
EVENTS = [Event(0, sequence, "power_restore", 0, 0.0, "{}") for sequence in range(1, COUNT + 1)]


class Log:
    """What `Telling` needs of the record of one meter."""

    def __init__(self) -> None:
        self.told_up_to = 0

    def pending(self, _row: int) -> list[Event]:
        return EVENTS[self.told_up_to :]

    def told(self, event: Event) -> None:
        assert event.sequence > self.told_up_to
        self.told_up_to = event.sequence


@given(st.lists(st.tuples(st.integers(0, COUNT - 1), st.booleans())))
def test_the_log_is_told_up_to_the_first_event_that_has_not_arrived(fates: list[tuple[int, bool]]) -> None:
    log = Log()
    telling = Telling(cast(Recording, log))
    arrived: set[int] = set()
    for index, arrives in fates:
        event = EVENTS[index]
        telling.sent(event)
        assert event not in telling.untold(0)
        if arrives:
            telling.arrived(event)
            arrived.add(event.sequence)
        else:
            telling.lost(event)
        assert [each.sequence for each in telling.untold(0)] == [
            each.sequence for each in EVENTS if each.sequence not in arrived
        ]
        first_missing = min(set(range(1, COUNT + 2)) - arrived)
        assert log.told_up_to == first_missing - 1
