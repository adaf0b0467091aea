"""The encoder against docs/wire-rl-dsp.md, read back by a plain JSON parser."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from meters.device.records import Event, EventCode, IntervalRecord, ProfileAnswer
from meters.vendors.rl_dsp import wire
from tests.meters.interval_records import LARGEST, coded, interval_records

VOLTAGE_CODES = ["32.7.0", "52.7.0", "72.7.0"]
FRACTIONS = [*VOLTAGE_CODES, "31.7.0", "51.7.0", "71.7.0", "33.7.0", "53.7.0", "73.7.0", "1.6.0.5"]
DOCUMENTED_EXAMPLE = """{"meter":{"ts":"2026-01-15T00:15:00+00:00","1.8.0":48211345,"2.8.0":0,
 "5.8.0":9120,"6.8.0":0,"7.8.0":2,"8.8.0":71,"1.29.0":131,"2.29.0":0,
 "21.29.0":44,"41.29.0":43,"61.29.0":44,"22.29.0":0,"42.29.0":0,"62.29.0":0,
 "5.29.0":33,"6.29.0":0,"7.29.0":0,"8.29.0":0,"1.7.0":524,"2.7.0":0,
 "21.7.0":500,"22.7.0":0,"41.7.0":0,"42.7.0":76,"61.7.0":100,"62.7.0":0,
 "23.7.0":160,"24.7.0":0,"43.7.0":0,"44.7.0":12,"63.7.0":0,"64.7.0":0,"33.7.0":0.952,"53.7.0":-0.988,"73.7.0":1.0,
 "32.7.0":231.4,"52.7.0":230.9,"72.7.0":231.8,"31.7.0":2.269,"51.7.0":0.333,"71.7.0":0.433,
 "1.6.0":2210,"1.6.0.5":"2026-01-14T18:45:00+00:00","96.10.1":0}}"""
DOCUMENTED_START_S = int(datetime(2026, 1, 15, tzinfo=UTC).timestamp())
DOCUMENTED = IntervalRecord(
    **dict.fromkeys(IntervalRecord._fields, 0)
    | {"interval_start_s": DOCUMENTED_START_S, "meter": 7, "import_register_wh": 48211345, "import_wh": 131}
    | {"import_l1_wh": 44, "import_l2_wh": 43, "import_l3_wh": 44, "active_power_w": 524}
    | {"reactive_q1_register_varh": 9120, "reactive_q3_register_varh": 2, "reactive_q4_register_varh": 71}
    | {"reactive_q1_varh": 33, "active_power_l1_w": 500, "active_power_l2_w": -76, "active_power_l3_w": 100}
    | {"reactive_power_l1_var": 160, "reactive_power_l2_var": -12}
    | {"power_factor_l1_permille": 952, "power_factor_l2_permille": -988, "power_factor_l3_permille": 1000}
    | {"voltage_l1_dv": 2314, "voltage_l2_dv": 2309, "voltage_l3_dv": 2318}
    | {"current_l1_ma": 2269, "current_l2_ma": 333, "current_l3_ma": 433}
    | {"max_demand_import_w": 2210, "max_demand_at_s": DOCUMENTED_START_S - 5 * 3600 - 900}
)


def as_said(record: IntervalRecord) -> dict[str, Any]:
    """By code, with the time of the maximum demand as a text."""
    values = coded(record)
    return values | {"1.6.0.5": datetime.fromtimestamp(values["1.6.0.5"], UTC).isoformat()}


instants_s = st.integers(1_700_000_000, 4_000_000_000)
quarters_s = st.integers(2_000_000, 4_000_000).map(lambda quarter: quarter * 900)


def test_the_documented_reading() -> None:
    leaf, payload = wire.reading(DOCUMENTED, 900)
    assert leaf == "ds"
    assert json.loads(payload) == json.loads(DOCUMENTED_EXAMPLE)
    assert payload.decode() == DOCUMENTED_EXAMPLE.replace("\n ", "")


@given(quarters_s, interval_records())
def test_a_reading_carries_every_value_unchanged(start_s: int, record: IntervalRecord) -> None:
    payload = wire.reading(record._replace(interval_start_s=start_s), 900).payload
    document = json.loads(payload)
    assert set(document) == {"meter"}
    meter = document["meter"]
    ts = meter.pop("ts")
    assert datetime.fromisoformat(ts) == datetime.fromtimestamp(start_s + 900, UTC)
    assert ts.endswith("+00:00")
    assert meter == as_said(record)
    assert all(isinstance(value, int) for code, value in meter.items() if code not in FRACTIONS)
    # One decimal on the wire itself, not merely after parsing.
    assert all(f'"{code}":{meter[code]:.1f}'.encode() in payload for code in VOLTAGE_CODES)


@given(instants_s, st.integers(1, 2**40), st.sampled_from(list(EventCode)), st.text())
def test_an_event(device_time_s: int, sequence: int, code: str, text: str) -> None:
    detail = {"command": None, "reason": text}
    leaf, payload = wire.event(Event(0, sequence, code, device_time_s, 0.0, json.dumps(detail)))
    assert leaf == "ev"
    document = json.loads(payload)
    assert datetime.fromisoformat(document["event"].pop("ts")).timestamp() == device_time_s
    assert document == {"event": {"seq": sequence, "code": code, "detail": detail}}


def test_states() -> None:
    ((leaf, payload),) = wire.online("AMI7", 1_768_435_200, 3)
    assert leaf == "st"
    assert json.loads(payload) == {"state": {"ts": "2026-01-15T00:00:00+00:00", "value": "online", "boot": 3}}
    leaf, payload = wire.will("AMI7")
    assert leaf == "st"
    assert json.loads(payload) == {"state": {"value": "offline"}}


def test_names() -> None:
    assert wire.home("run1", "AMI7") == "dt/run1/AMI7"
    assert wire.command_topic("run1", "AMI7") == "cmd/run1/AMI7"
    assert wire.client_id("run1", "AMI7") == "run1-AMI7"


@given(quarters_s, st.integers(0, 150), interval_records())
def test_a_load_profile_arrives_whole_in_parts(from_s: int, count: int, record: IntervalRecord) -> None:
    to_s = from_s + 900 * 200
    records = [record._replace(interval_start_s=from_s + 900 * number) for number in range(count)]
    said = list(wire.load_profile(ProfileAnswer("c", to_s, from_s, to_s, 900, records)))
    assert {leaf for leaf, _ in said} == {"lp"}
    parts = [json.loads(payload)["profile"] for _, payload in said]
    assert [part["part"] for part in parts] == list(range(1, len(parts) + 1))
    assert {part["parts"] for part in parts} == {max(1, -(-count // 32))} == {len(parts)}
    assert all(len(part["rows"]) <= 32 for part in parts)
    received = []
    for part in parts:
        assert part["columns"] == list(coded(record))
        assert (part["command"], part["interval_s"]) == ("c", 900)
        assert datetime.fromisoformat(part["from"]).timestamp() == from_s
        assert datetime.fromisoformat(part["to"]).timestamp() == to_s
        assert datetime.fromisoformat(part["ts"]).timestamp() == to_s
        received += part["rows"]
    ends_s = [datetime.fromisoformat(row[0]).timestamp() for row in received]
    assert ends_s == [from_s + 900 * (number + 1) for number in range(count)]
    assert all(row[1:] == list(as_said(record).values()) for row in received)


def test_the_longest_part_stays_below_the_limit() -> None:
    records = [LARGEST._replace(interval_start_s=1_768_435_200 + 900 * number) for number in range(wire.ROWS_PER_PART)]
    (said,) = wire.load_profile(ProfileAnswer("0" * 36, 0, 0, 900, 900, records))
    assert len(said.payload) < 16_000
