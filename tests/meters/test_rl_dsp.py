"""The encoder against docs/wire-rl-dsp.md, read back by a plain JSON parser."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meters.vendors import rl_dsp

INTEGER_CODES = [
    "1.8.0", "2.8.0", "1.29.0", "2.29.0", "21.29.0", "41.29.0", "61.29.0", "22.29.0", "42.29.0", "62.29.0", "1.7.0",
    "2.7.0",
]  # fmt: skip
VOLTAGE_CODES = ["32.7.0", "52.7.0", "72.7.0"]
DOCUMENTED_EXAMPLE = """{"meter":{"ts":"2026-01-15T00:15:00+00:00","1.8.0":48211345,"2.8.0":0,"1.29.0":131,"2.29.0":0,
 "21.29.0":44,"41.29.0":43,"61.29.0":44,"22.29.0":0,"42.29.0":0,"62.29.0":0,
 "1.7.0":524,"2.7.0":0,"32.7.0":231.4,"52.7.0":231.4,"72.7.0":231.4,"96.10.1":0}}"""
DOCUMENTED_ROW = [48211345, 0, 131, 0, 44, 43, 44, 0, 0, 0, 524, 0, 231.4, 231.4, 231.4, 0]

energy_wh = st.integers(0, 999_999_999)
voltage_v = st.integers(0, 3000).map(lambda tenths: tenths / 10)
rows = st.tuples(*[energy_wh] * 12, *[voltage_v] * 3, st.integers(0, 15))
instants_s = st.integers(1_700_000_000, 4_000_000_000)
quarters_s = st.integers(2_000_000, 4_000_000).map(lambda quarter: quarter * 900)


def test_the_documented_reading() -> None:
    end_s = int(datetime(2026, 1, 15, 0, 15, tzinfo=UTC).timestamp())
    assert json.loads(rl_dsp.encode_reading(end_s, DOCUMENTED_ROW)) == json.loads(DOCUMENTED_EXAMPLE)
    assert rl_dsp.encode_reading(end_s, DOCUMENTED_ROW).decode() == DOCUMENTED_EXAMPLE.replace("\n ", "")


@given(quarters_s, rows)
def test_a_reading_carries_every_value_unchanged(end_s: int, row: tuple[int | float, ...]) -> None:
    payload = rl_dsp.encode_reading(end_s, row)
    document = json.loads(payload)
    assert set(document) == {"meter"}
    meter = document["meter"]
    assert datetime.fromisoformat(meter["ts"]) == datetime.fromtimestamp(end_s, UTC)
    assert meter["ts"].endswith("+00:00")
    assert [meter[code] for code in INTEGER_CODES] == list(row[:12])
    assert all(isinstance(meter[code], int) for code in INTEGER_CODES)
    assert [meter[code] for code in VOLTAGE_CODES] == list(row[12:15])
    # One decimal on the wire itself, not merely after parsing.
    assert all(f'"{code}":{meter[code]:.1f}'.encode() in payload for code in VOLTAGE_CODES)
    assert meter["96.10.1"] == row[15]
    assert len(meter) == 1 + 16


@given(instants_s, st.integers(1, 2**40), st.sampled_from(list(rl_dsp.EventCode)), st.text())
def test_an_event(device_time_s: int, sequence: int, code: str, text: str) -> None:
    document = json.loads(rl_dsp.encode_event(device_time_s, sequence, code, {"command": None, "reason": text}))
    ts = document["event"].pop("ts")
    assert datetime.fromisoformat(ts).timestamp() == device_time_s
    assert document == {"event": {"seq": sequence, "code": code, "detail": {"command": None, "reason": text}}}


def test_states() -> None:
    assert json.loads(rl_dsp.encode_online(1_768_435_200, 3)) == {
        "state": {"ts": "2026-01-15T00:00:00+00:00", "value": "online", "boot": 3}
    }
    assert json.loads(rl_dsp.WILL) == {"state": {"value": "offline"}}


def test_names() -> None:
    assert rl_dsp.topic("run1", "AMI7", "ds") == "dt/run1/AMI7/ds"
    assert rl_dsp.command_topic("run1", "AMI7") == "cmd/run1/AMI7"
    assert rl_dsp.client_id("run1", "AMI7") == "run1-AMI7"


@given(quarters_s, st.integers(0, 150), rows)
def test_a_load_profile_arrives_whole_in_parts(from_s: int, count: int, row: tuple[int | float, ...]) -> None:
    to_s = from_s + 900 * 200
    recorded = [(from_s + 900 * (number + 1), row) for number in range(count)]
    parts = [
        json.loads(payload)["profile"]
        for payload in rl_dsp.encode_load_profile(
            command_id="c", device_time_s=to_s, from_s=from_s, to_s=to_s, interval_s=900, rows=recorded
        )
    ]
    assert [part["part"] for part in parts] == list(range(1, len(parts) + 1))
    assert {part["parts"] for part in parts} == {max(1, -(-count // 48))} == {len(parts)}
    assert all(len(part["rows"]) <= 48 for part in parts)
    for part in parts:
        assert part["columns"] == [*INTEGER_CODES, *VOLTAGE_CODES, "96.10.1"]
        assert (part["command"], part["interval_s"]) == ("c", 900)
        assert datetime.fromisoformat(part["from"]).timestamp() == from_s
        assert datetime.fromisoformat(part["to"]).timestamp() == to_s
        assert datetime.fromisoformat(part["ts"]).timestamp() == to_s
    received = [
        (datetime.fromisoformat(values[0]).timestamp(), tuple(values[1:])) for part in parts for values in part["rows"]
    ]
    assert received == recorded


def test_the_longest_part_stays_below_the_limit() -> None:
    row = [999_999_999] * 12 + [999.9] * 3 + [15]
    recorded = [(1_768_435_200 + 900 * number, row) for number in range(48)]
    (payload,) = rl_dsp.encode_load_profile(
        command_id="0" * 36, device_time_s=0, from_s=0, to_s=900, interval_s=900, rows=recorded
    )
    assert len(payload) < 16_000


@pytest.mark.parametrize("length", [0, 15, 17])
def test_a_row_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError):
        rl_dsp.encode_reading(0, [0] * length)
    with pytest.raises(ValueError, match="the profile has 16 columns"):
        list(
            rl_dsp.encode_load_profile(
                command_id="c", device_time_s=0, from_s=0, to_s=900, interval_s=900, rows=[(900, [0] * length)]
            )
        )
