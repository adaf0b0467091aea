"""The decoder against docs/wire-rl-dsp.md, Plain RL-DSP, and against whatever else comes."""

from __future__ import annotations

import json
import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headend.drivers import ABSENT, DecodeError, MomentaryReport, RegisterReport, driver_for

DRIVER = driver_for("rl-dsp-plain")
assert DRIVER.mqtt is not None
DECODE = DRIVER.mqtt["ds"].decode
TS = "2026-11-28T11:15:00.5+00:00"
AT_S = 1_795_864_500.5
MEASURED = {"1.7.0": 524.0, "2.7.0": 0.0, "32.7.0": 231.44, "1.8.0": 48_211_345.4, "2.8.0": 17.0, "5.8.0": 12.0}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=8,
)


def said(**changed: object) -> bytes:
    values = {"ts": TS, **MEASURED} | {name.removeprefix("c").replace("_", "."): v for name, v in changed.items()}
    return json.dumps({"meter": {name: value for name, value in values.items() if value is not ...}}).encode()


def test_registers_power_and_voltages() -> None:
    moment, registers = DECODE(said())  # type: ignore[misc]  # a list
    assert isinstance(moment, MomentaryReport)
    assert (moment.at_s, moment.active_power_w, moment.voltages_v[0]) == (AT_S, 524, 231.4)
    assert math.isnan(moment.voltages_v[1])
    assert registers == RegisterReport(AT_S, 48_211_345, 17)


def test_what_a_meter_does_not_push_is_not_made_up() -> None:
    moment, registers = DECODE(said(c1_7_0=..., c2_7_0=..., c2_8_0=...))  # type: ignore[misc]
    assert isinstance(moment, MomentaryReport)
    assert moment.active_power_w == ABSENT
    assert registers == RegisterReport(AT_S, 48_211_345, 0)
    assert [type(each) for each in DECODE(said(c1_8_0=...))] == [MomentaryReport]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\xff", "not_json"),
        (b"[]", "bad_structure"),
        (b'{"meter":[1]}', "bad_structure"),
        (said(ts="2026-11-28T11:15:00"), "bad_time"),
        (said(ts=1_795_864_500), "bad_time"),
        (said(c1_8_0=-1.0), "bad_value"),
        (said(c1_8_0="48211345"), "bad_value"),
        (said(c1_7_0=1e12), "bad_value"),
        (said(c32_7_0=True), "bad_value"),
    ],
)
def test_what_is_no_reading_says_why(payload: bytes, reason: str) -> None:
    with pytest.raises(DecodeError) as error:
        DECODE(payload)
    assert error.value.reason == reason


@given(st.binary(max_size=60) | json_values.map(lambda value: json.dumps({"meter": value}).encode()))
def test_nothing_but_a_decode_error_comes_of_it(payload: bytes) -> None:
    with suppress(DecodeError):
        DECODE(payload)
