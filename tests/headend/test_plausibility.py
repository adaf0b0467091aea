"""What a meter can have counted, and what it cannot."""

import math

from hypothesis import given
from hypothesis import strategies as st

from headend.plausibility import can_have_passed, most_wh, rated_power_w

HOUSE_W = rated_power_w(100)


def test_a_house_meter_cannot_pass_40_mwh_in_a_quarter_of_an_hour() -> None:
    assert HOUSE_W == 69_000
    assert can_have_passed(17_250, 900, HOUSE_W), "its full rating"
    assert not can_have_passed(40_000_000, 900, HOUSE_W)
    assert not can_have_passed(-1, 900, HOUSE_W)
    assert not can_have_passed(math.nan, 900, HOUSE_W)


lengths_s = st.integers(1, 86_400)
powers_w = st.floats(1, 1e7)


@given(length_s=lengths_s, power_w=powers_w, load=st.floats(0, 1.4), late_s=st.floats(0, 5))
def test_whatever_stays_within_the_rating_passes_even_where_the_clock_was_put_right(
    length_s: int, power_w: float, load: float, late_s: float
) -> None:
    assert can_have_passed(load * power_w * (length_s + late_s) / 3600, length_s, power_w)


@given(length_s=lengths_s, power_w=powers_w, factor=st.floats(1.001, 1e12))
def test_nothing_above_the_limit_passes(length_s: int, power_w: float, factor: float) -> None:
    assert not can_have_passed(most_wh(length_s, power_w) * factor, length_s, power_w)
