"""What a meter can have counted, and what it cannot."""

import math

from hypothesis import given
from hypothesis import strategies as st

from headend.drivers import ABSENT, Reading
from headend.reads.plausibility import Limits, can_have_passed, most_wh
from headend.registry import rated_power_w

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


REASONS = {
    "wrong_length", "off_grid", "before_2000", "too_old", "ahead_of_clock", "energy_beyond_rating",
    "power_beyond_rating", "beyond_register", "beyond_voltage",
}  # fmt: skip
START_S = 1_768_435_200
OLDEST_S = START_S + 900 - 400 * 86_400
LIMITS = Limits.of(900, HOUSE_W, 10**9)
counts = st.sampled_from([ABSENT, 0, 17_250, 25_891, 25_892, 103_500, 103_501, 10**9 - 1, 10**9, 10**15])


@given(
    start_s=st.sampled_from(
        [START_S, START_S + 1, 946_684_800, 946_683_900, 0, OLDEST_S, OLDEST_S - 900, START_S + 900, START_S + 1800]
    ),
    length_s=st.sampled_from([900, 60]),
    counters=st.tuples(*[counts] * 13),
    voltages=st.tuples(*[st.sampled_from([math.nan, 0.0, 230.0, 1000.0, 1000.1])] * 3),
)
def test_a_reason_is_given_exactly_where_something_is_beyond(
    start_s: int, length_s: int, counters: tuple[int, ...], voltages: tuple[float, ...]
) -> None:
    reading = Reading._make((start_s + length_s, *counters, *voltages, (), True))
    fault = LIMITS.fault_of(reading, length_s, START_S + 900)
    honest = (
        length_s == 900
        and start_s % 900 == 0
        and OLDEST_S <= start_s <= START_S + 900
        and all(value <= most_wh(900, HOUSE_W) for value in counters[2:10])
        and all(value <= 1.5 * HOUSE_W for value in counters[10:12])
        and all(value < 10**9 for value in counters[:2])
        and not any(value > 1000 for value in voltages)
    )
    assert (fault is None) == honest
    assert fault is None or fault in REASONS
