"""What a meter can have counted, and what it cannot."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headend.drivers import ABSENT, READING_COUNTERS, READING_MEASURES, Reading, Registers
from headend.ratios import Ratios
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
    "power_beyond_rating", "beyond_register", "beyond_voltage", "current_beyond_rating",
    "beyond_demand_time",
}  # fmt: skip
START_S = 1_768_435_200
OLDEST_S = START_S + 900 - 400 * 86_400
LIMITS = Limits.of(900, HOUSE_W, 10**9)
counts = st.sampled_from([ABSENT, 0, 17_250, 25_891, 25_892, 103_500, 103_501, 10**9 - 1, 10**9, 10**15])
nets = counts.flatmap(lambda count: st.sampled_from([count] if count == ABSENT else [count, -count]))
NETS = [name for name in READING_COUNTERS if name.startswith(("active_power", "reactive_power"))]
POWERS = ["import_power_w", "export_power_w", "max_demand_import_w", *NETS]
REGISTERS = [name for name in READING_COUNTERS if "register" in name]
ENERGIES = [name for name in READING_COUNTERS if name.endswith("h") and name not in REGISTERS]

LATEST_S = START_S + 1800
demand_times = st.sampled_from([ABSENT, 946_684_799, 946_684_800, START_S, LATEST_S, LATEST_S + 1, 2**53 // 1000])


@given(
    start_s=st.sampled_from(
        [START_S, START_S + 1, 946_684_800, 946_683_900, 0, OLDEST_S, OLDEST_S - 900, START_S + 900, START_S + 1800]
    ),
    length_s=st.sampled_from([900, 60]),
    counters=st.fixed_dictionaries(
        {name: nets if name in NETS else counts for name in READING_COUNTERS} | {"max_demand_at_s": demand_times}
    ),
    measured=st.fixed_dictionaries(
        {name: st.sampled_from([math.nan, 0.0, 150.0, 150.1, 1000.0, 1000.1]) for name in READING_MEASURES}
    ),
)
def test_a_reason_is_given_exactly_where_something_is_beyond(
    start_s: int, length_s: int, counters: dict[str, int], measured: dict[str, float]
) -> None:
    reading = Reading(end_s=start_s + length_s, **counters, **measured, others=(), complete=True)  # type: ignore[arg-type]  # by name
    fault = LIMITS.fault_of(reading, length_s, START_S + 900)
    honest = (
        length_s == 900
        and start_s % 900 == 0
        and OLDEST_S <= start_s <= START_S + 900
        and all(counters[name] <= most_wh(900, HOUSE_W) for name in ENERGIES)
        and all(counters[name] == ABSENT or abs(counters[name]) <= 1.5 * HOUSE_W for name in POWERS)
        and all(counters[name] < 10**9 for name in REGISTERS)
        and (counters["max_demand_at_s"] == ABSENT or 946_684_800 <= counters["max_demand_at_s"] <= LATEST_S)
        and not any(measured[f"voltage_l{phase}_v"] > 1000 for phase in (1, 2, 3))
        and not any(measured[f"current_l{phase}_a"] > 150 for phase in (1, 2, 3))
    )
    assert (fault is None) == honest
    assert fault is None or fault in REASONS


def usual(end_s: int, **said: float) -> Reading:
    """Of all that a reading can have, but for what is `said`."""
    values: dict[str, Any] = dict.fromkeys(READING_COUNTERS, 0) | dict.fromkeys(READING_MEASURES, 0.5)
    return Reading(end_s=end_s, **{**values, "max_demand_at_s": START_S, **said}, others=(), complete=True)


YEAR_2000_S = 946_684_800


@pytest.mark.parametrize(
    ("start_s", "latest_s", "reason"),
    [
        (START_S + 900, START_S + 900, None),
        (START_S + 1800, START_S + 900, "ahead_of_clock"),
        (OLDEST_S, START_S + 900, None),
        (OLDEST_S - 900, START_S + 900, "too_old"),
        # By a clock that is hardly later.
        (YEAR_2000_S, YEAR_2000_S + 900, None),
        (YEAR_2000_S - 900, YEAR_2000_S + 900, "before_2000"),
    ],
)
def test_each_instant_has_its_bound(start_s: int, latest_s: int, reason: str | None) -> None:
    reading = usual(start_s + 900, max_demand_at_s=latest_s)
    assert LIMITS.fault_of(reading, 900, latest_s) == reason
    assert LIMITS.fault_of_registers(Registers(0, 0, 0, (230.0, 230.0, 230.0)), start_s, latest_s) == reason


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"reactive_q4_varh": 26_144}, "energy_beyond_rating"),
        ({"reactive_q2_register_varh": 10**9}, "beyond_register"),
        ({"reactive_power_l3_var": -103_501}, "power_beyond_rating"),
        ({"max_demand_import_w": 103_501}, "power_beyond_rating"),
        ({"current_l2_a": 150.01}, "current_beyond_rating"),
        ({"max_demand_at_s": 2**53 // 1000}, "beyond_demand_time"),
        ({"max_demand_at_s": 253_402_300_799 + 14 * 3600}, "beyond_demand_time"),
        ({"max_demand_at_s": START_S + 1801}, "beyond_demand_time"),
        ({"max_demand_at_s": 946_684_799}, "beyond_demand_time"),
        ({"max_demand_at_s": 0}, "beyond_demand_time"),
    ],
)
def test_each_new_quantity_has_its_bound(said: dict[str, float], reason: str) -> None:
    reading = usual(START_S + 900)
    assert LIMITS.fault_of(reading, 900, START_S + 900) is None
    beyond = Reading._make({**reading._asdict(), **said}.values())
    assert LIMITS.fault_of(beyond, 900, START_S + 900) == reason


@given(st.floats(1, 10_000), st.floats(1, 10_000), st.floats(1, 1e8), st.integers(0, 10**9))
def test_nothing_that_is_believed_overflows_its_column_behind_transformers(
    current: float, voltage: float, power_w: float, said: int
) -> None:
    ratios = Ratios(current, voltage)
    for name in ("reactive_q4_varh", "active_power_l2_w", "max_demand_import_w"):
        reading = usual(START_S + 900, **{name: said})
        fault = Limits.of(900, power_w, 10**9, ratios.power).fault_of(reading, 900, START_S + 900)
        assert fault is not None or round(said * ratios.of(name)) < 2**31
