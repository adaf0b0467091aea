"""What is under way: the order of arrival, and when the next is due."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meters.device.state import NEVER_S
from meters.fleet.air import Air

PUTS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3), st.integers(0, 5)))


@given(PUTS, st.lists(st.integers(0, 25)))
def test_arrivals_are_in_the_order_of_second_and_rank_whenever_they_are_asked_for(
    puts: list[tuple[int, int, int]], grants: list[int]
) -> None:
    air: Air[tuple[int, int, int]] = Air()
    for due_s, rank, row in puts:
        air.put(due_s, (rank, row), (due_s, rank, row))
    arrived = []
    for now_s in [*sorted(grants), 25]:
        assert air.due_s.tolist() == [min((put[0] for put in puts if put not in arrived), default=NEVER_S)]
        arrived += air.take(now_s)
        assert all(put[0] > now_s for put in puts if put not in arrived)
    assert arrived == sorted(puts)
    assert air.due_s.tolist() == [NEVER_S]


def test_what_is_put_while_others_arrive_is_of_the_next_call() -> None:
    air: Air[str] = Air()
    air.put(5, (1,), "first")
    for item in air.take(5):
        air.put(5, (0,), f"after {item}")
    assert air.due_s.tolist() == [5]
    assert air.take(5) == ["after first"]
