"""Draws: a run of a seed is to be the same for ever, so their values are held to the published mixing function."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from meters.device.draws import Purpose, derived, meter_keys, uniform

_64 = (1 << 64) - 1
_GAMMA = 0x9E3779B97F4A7C15


def splitmix64(state: int) -> int:
    """Steele, Lea, Flood: Fast splittable pseudorandom number generators, as Vigna's C has it, in whole numbers."""
    mixed = (state + _GAMMA) & _64
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _64
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _64
    return mixed ^ (mixed >> 31)


@given(
    st.lists(st.integers(0, _64), max_size=4),
    st.sampled_from(Purpose),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=4, max_size=4),
)
def test_a_draw_is_splitmix64_of_key_purpose_and_counter(
    keys: list[int], purpose: Purpose, counters: list[int]
) -> None:
    own = np.array(keys, dtype=np.uint64)
    expected = [
        splitmix64(splitmix64((key + purpose * _GAMMA) & _64) + counter * _GAMMA & _64)
        for key, counter in zip(keys, counters, strict=False)
    ]
    found = derived(own, purpose, np.array(counters[: len(keys)], dtype=np.int64))
    assert found.tolist() == expected
    assert own.tolist() == keys, "the keys are the caller's"
    for place, counter in enumerate(counters[: len(keys)]):
        assert derived(own, purpose, counter)[place] == expected[place], "one counter for all"


def test_numbers_lie_between_their_limits_and_are_those_of_the_seed() -> None:
    keys = meter_keys(7, ["AMI00000001", "AMI00000002"])
    drawn = uniform(keys, Purpose.FIRST_CONNECT, 0, 2.0, 3.0)
    assert ((drawn >= 2.0) & (drawn < 3.0)).all()
    assert drawn.tolist() == [
        2.0 + (splitmix64(splitmix64((int(key) + 11 * _GAMMA) & _64)) >> 11) / 2**53 for key in keys
    ]
