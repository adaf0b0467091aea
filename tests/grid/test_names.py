"""Ids from names that are no keys."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from grid.names import unique_names

NAMES = st.lists(
    st.one_of(
        st.sampled_from(["load-0", "load-1", "load-1-2", "a", "a-0", "a b", "a_b", "ä", "ö", "", "x" * 300, None, 7]),
        st.text(max_size=4),
    ),
    max_size=12,
)


@given(NAMES)
def test_ids_are_unique_safe_and_always_the_same(names: list[object]) -> None:
    found = unique_names(range(len(names)), names, "UP-", "load")
    assert len(set(found)) == len(names)
    assert all(re.fullmatch(r"UP-[A-Za-z0-9_.-]{1,120}", name) for name in found)
    assert found == unique_names(range(len(names)), names, "UP-", "load")


def test_a_name_that_is_unique_stays_what_it_is() -> None:
    assert unique_names([7, 8, 9], ["load-8", None, "pump 3"], "UP-", "load") == [
        "UP-load-8",
        "UP-load-8-2",
        "UP-pump_3",
    ]
