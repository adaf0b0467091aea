"""What a meter shows when somebody asks, by OBIS code, whatever carries it."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from headend.drivers import DecodeError, NamedValue, Registers
from headend.drivers.answers import registers
from headend.drivers.obis import DEMAND_AT, SHOWN
from headend.drivers.obis_metrics import decode_report
from headend.drivers.records import ON_DEMAND_CHANNELS

AT_MS = 1_768_436_100_000

foreign = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.lists(st.none(), max_size=1)
)


@given(st.dictionaries(st.sampled_from(SHOWN) | st.text(max_size=6), foreign, max_size=20))
def test_whatever_is_said_is_read_or_refused(values: dict[str, object]) -> None:
    with suppress(DecodeError):
        shown = registers(values)
        assert set(shown.channels) <= set(ON_DEMAND_CHANNELS)


def test_a_collectors_meter_shows_all_that_it_has() -> None:
    says: dict[str, int | float | str] = {
        "Answer/Command": "c1", "Answer/State": "completed", "Register/1.8.0": 48_211_345, "Register/2.8.0": 12,
        "Register/5.8.0": 9_120, "Register/1.7.0": 524, "Register/2.7.0": 0, "Register/43.7.0": 17,
        "Register/44.7.0": 0, "Register/32.7.0": 231.4000015, "Register/51.7.0": 0.4569999, "Register/1.6.0": 5_310,
        f"Register/{DEMAND_AT}": AT_MS - 900_000,
    }  # fmt: skip
    values = [NamedValue(name, AT_MS, value) for name, value in says.items()]
    report = decode_report(values, 900, birth=False)
    assert report.others == []
    shown = report.answer.registers  # type: ignore[union-attr]  # it is an answer
    assert isinstance(shown, Registers)
    assert (shown.import_register_wh, shown.active_power_w, shown.voltages_v[0]) == (48_211_345, 524, 231.4)
    assert shown.channels == {
        "reactive_q1_register_varh": 9_120, "reactive_power_l2_var": 17, "current_l2_a": 0.457,
        "max_demand_import_w": 5_310, "max_demand_at_s": AT_MS // 1000 - 900,
    }  # fmt: skip
