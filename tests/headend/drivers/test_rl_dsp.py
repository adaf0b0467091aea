"""The driver `rl-dsp`, against the examples of docs/wire-rl-dsp.md and against anything else."""

import contextlib
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headend.drivers import ABSENT, READING_COUNTERS, DecodeError, counters_of, driver_for, measures_of
from headend.drivers.obis import NET, OBIS
from headend.drivers.rl_dsp.wire import decode_answer, decode_event, decode_profile, decode_reading, decode_state
from tests.headend.fleet import COLUMNS

DRIVER = driver_for("rl-dsp")
DECODERS = [decode_reading, decode_event, decode_state, decode_profile]

READING = (
    b'{"meter":{"ts":"2026-01-15T00:15:00+00:00","1.8.0":48211345,"2.8.0":0,"1.29.0":131,"2.29.0":0,'
    b'"21.29.0":44,"41.29.0":43,"61.29.0":44,"22.29.0":0,"42.29.0":0,"62.29.0":0,'
    b'"1.7.0":524,"2.7.0":0,"32.7.0":231.4,"52.7.0":231.4,"72.7.0":231.4,"96.10.1":0,'
    b'"5.8.0":9120,"6.8.0":0,"7.8.0":2,"8.8.0":71,"5.29.0":33,"6.29.0":0,"7.29.0":1,"8.29.0":4,'
    b'"1.6.0":2210,"1.6.0.5":"2026-01-14T18:45:00+00:00",'
    b'"21.7.0":500,"22.7.0":0,"41.7.0":0,"42.7.0":76,"61.7.0":100,"62.7.0":0,'
    b'"23.7.0":160,"24.7.0":0,"43.7.0":0,"44.7.0":12,"63.7.0":0,"64.7.0":0,'
    b'"31.7.0":2.269,"51.7.0":0.333,"71.7.0":0.433,"33.7.0":0.952,"53.7.0":-0.988,"73.7.0":1.0}}'
)
EVENT = (
    b'{"event":{"ts":"2026-01-15T06:10:47+00:00","seq":17,"code":"last_gasp",'
    b'"detail":{"down_at":"2026-01-15T06:10:00+00:00"}}}'
)
STATE = b'{"state":{"ts":"2026-01-15T00:00:00+00:00","value":"online","boot":3}}'
PROFILE = (
    b'{"profile":{"command":"c1","ts":"2026-01-15T05:00:00+00:00","from":"2026-01-15T03:00:00+00:00",'
    b'"to":"2026-01-15T04:00:00+00:00","part":1,"parts":1,"interval_s":900,'
    b'"columns":["1.8.0","2.8.0","1.29.0","2.29.0","21.29.0","41.29.0","61.29.0","22.29.0","42.29.0","62.29.0",'
    b'"1.7.0","2.7.0","32.7.0","52.7.0","72.7.0","96.10.1"],'
    b'"rows":[["2026-01-15T03:15:00+00:00",48211345,0,131,0,44,43,44,0,0,0,524,0,231.4,231.4,231.4,0]]}}'
)
ANSWER = b'{"answer":{"command":"c1","ts":"2026-01-15T05:00:00+00:00","state":"failed","reason":"no_record"}}'
END_S = 1_768_436_100
NETTED = {code for pair in NET.values() for code in pair}
MEASURED = ("32.7.0", "52.7.0", "72.7.0", "31.7.0", "51.7.0", "71.7.0")
COUNTED = [code for code in COLUMNS if code not in (*MEASURED, "33.7.0", "53.7.0", "73.7.0", "96.10.1", "1.6.0.5")]
CHANNELS = {
    "import_register_wh": 48211345,
    "export_register_wh": 0,
    "import_wh": 131,
    "export_wh": 0,
    "import_l1_wh": 44,
    "import_l2_wh": 43,
    "import_l3_wh": 44,
    "export_l1_wh": 0,
    "export_l2_wh": 0,
    "export_l3_wh": 0,
    "import_power_w": 524,
    "export_power_w": 0,
    **{f"voltage_l{phase}_v": 231.4 for phase in (1, 2, 3)},
    "status": 0,
}
QUANTITIES = {
    "reactive_q1_register_varh": 9120,
    "reactive_q2_register_varh": 0,
    "reactive_q3_register_varh": 2,
    "reactive_q4_register_varh": 71,
    "reactive_q1_varh": 33,
    "reactive_q2_varh": 0,
    "reactive_q3_varh": 1,
    "reactive_q4_varh": 4,
    "max_demand_import_w": 2210,
    "max_demand_at_s": END_S - 900 - 5 * 3600 - 900,
    "active_power_l1_w": 500,
    "active_power_l2_w": -76,
    "active_power_l3_w": 100,
    "reactive_power_l1_var": 160,
    "reactive_power_l2_var": -12,
    "reactive_power_l3_var": 0,
    "current_l1_a": 2.269,
    "current_l2_a": 0.333,
    "current_l3_a": 0.433,
    "power_factor_l1": 0.952,
    "power_factor_l2": -0.988,
    "power_factor_l3": 1.0,
}


def changed(document: bytes, **changes: Any) -> bytes:
    message = json.loads(document)
    (body,) = message.values()
    for key, value in changes.items():
        if value is ...:
            del body[key]
        else:
            body[key] = value
    return json.dumps(message).encode()


def test_the_cadence_is_the_profiles() -> None:
    assert (DRIVER.interval_length_s, DRIVER.report_every_s) == (900, 900)


def test_the_reading_of_the_document() -> None:
    expected = {"end_s": END_S, **CHANNELS, **QUANTITIES, "others": (), "complete": True}
    assert decode_reading(READING)._asdict() == expected


def test_the_usual_shape_and_any_other_order_say_the_same() -> None:
    body = json.loads(READING)["meter"]
    turned = {"meter": dict(reversed(body.items()))}
    odd = changed(READING, **{"1.8.0": 2**31}), {"import_register_wh": 2**31}
    assert decode_reading(json.dumps(turned).encode()) == decode_reading(READING)
    assert decode_reading(odd[0])._asdict() == decode_reading(READING)._asdict() | odd[1]


def test_a_meter_without_the_new_quantities_is_read_as_before() -> None:
    gone = dict.fromkeys(COLUMNS[16:], ...)
    decoded = decode_reading(changed(READING, **gone))
    assert not decoded.complete
    found = {name: value for name, value in decoded._asdict().items() if name in CHANNELS}
    assert found == CHANNELS
    assert {
        counters for counters, name in zip(counters_of(decoded), READING_COUNTERS, strict=True) if name in QUANTITIES
    } == {ABSENT}


def test_of_a_power_that_is_told_one_way_only_the_other_way_is_nothing() -> None:
    decoded = decode_reading(changed(READING, **{"22.7.0": ..., "43.7.0": ...}))
    assert (decoded.active_power_l1_w, decoded.reactive_power_l2_var) == (500, -12)


def test_the_event_of_the_document() -> None:
    decoded = decode_event(EVENT)
    assert (decoded.device_time_s, decoded.sequence, decoded.code) == (END_S + 6 * 3600 - 253, 17, "last_gasp")
    assert json.loads(decoded.detail_json) == {"down_at": "2026-01-15T06:10:00+00:00"}
    assert not decoded.restored


def test_states_with_and_without_a_time() -> None:
    assert decode_state(STATE) == (True, END_S - 900, 3)
    assert decode_state(b'{"state":{"value":"offline"}}') == (False, None, None)


def test_the_load_profile_of_the_document() -> None:
    part = decode_profile(PROFILE)
    assert (part.command_id, part.to_s - part.from_s, part.part, part.parts, part.interval_length_s) == (
        "c1",
        3600,
        1,
        1,
        900,
    )
    (reading,) = part.readings
    shown = {name: value for name, value in reading._asdict().items() if name in CHANNELS}
    assert (reading.end_s, shown, reading.others) == (END_S + 3 * 3600, CHANNELS, ())
    assert reading.reactive_q1_varh == ABSENT


def test_a_load_profile_has_all_quantities() -> None:
    body = json.loads(READING)["meter"]
    row = ["2026-01-15T03:15:00+00:00", *(body[code] for code in COLUMNS)]
    (reading,) = decode_profile(changed(PROFILE, columns=COLUMNS, rows=[row])).readings
    expected = {"end_s": END_S + 3 * 3600, **CHANNELS, **QUANTITIES, "others": (), "complete": True}
    assert reading._asdict() == expected


def test_an_empty_answer_is_an_answer() -> None:
    assert decode_profile(changed(PROFILE, rows=[])).readings == []


def test_a_refusal_names_its_command() -> None:
    detail = {"command": "c1", "reason": "replayed"}
    decoded = decode_event(changed(EVENT, code="command_refused", detail=detail))
    assert (decoded.refused_command, decoded.refused_reason) == ("c1", "replayed")
    nameless = decode_event(changed(EVENT, code="command_refused", detail={"command": None, "reason": "malformed"}))
    assert nameless.refused_command is None


def test_absent_channels_are_absent_not_zero() -> None:
    decoded = decode_reading(b'{"meter":{"ts":"2026-01-15T00:15:00Z","1.29.0":7,"9.7.0":1.5}}')
    said = {name: value for name, value in zip(READING_COUNTERS, counters_of(decoded), strict=True) if value != ABSENT}
    assert said == {"import_wh": 7}
    assert all(math.isnan(value) for value in measures_of(decoded))
    assert decoded.others == (("9.7.0", 1.5),)


def test_an_offset_is_an_offset() -> None:
    assert decode_reading(changed(READING, ts="2026-01-15T01:15:00+01:00")).end_s == END_S


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ts": ...}, "bad_time"),
        ({"ts": "2026-01-15T00:15:00"}, "bad_time"),
        ({"ts": "2026-01-15T00:15:00.5+00:00"}, "bad_time"),
        ({"ts": "yesterday"}, "bad_time"),
        ({"ts": 1768436100}, "bad_time"),
        ({"1.29.0": ...}, "missing_field"),
        ({"1.29.0": "131"}, "bad_value"),
        ({"1.29.0": 131.0}, "bad_value"),
        ({"1.29.0": True}, "bad_value"),
        ({"1.29.0": None}, "bad_value"),
        ({"1.29.0": -1}, "bad_value"),
        ({"1.29.0": 10**400}, "not_json"),
        ({"1.29.0": 2**63}, "bad_value"),
        ({"32.7.0": "230"}, "bad_value"),
        ({"32.7.0": 1e9}, "bad_value"),
        ({"32.7.0": True}, "bad_value"),
        ({"96.10.1": 2**40}, "bad_value"),
        ({"5.29.0": -1}, "bad_value"),
        ({"5.8.0": 1.5}, "bad_value"),
        ({"22.7.0": -1}, "bad_value"),
        ({"31.7.0": -0.1}, "bad_value"),
        ({"31.7.0": 1e9}, "bad_value"),
        ({"33.7.0": 1.001}, "bad_value"),
        ({"53.7.0": -1.001}, "bad_value"),
        ({"1.6.0": "2210"}, "bad_value"),
        ({"1.6.0.5": 1768436100}, "bad_time"),
        ({"1.6.0.5": "2026-01-14T18:45:00"}, "bad_time"),
        ({"99.99.9": [1]}, "bad_value"),
        ({"": 1}, "bad_value"),
        ({"x" * 500: 1}, "bad_value"),
        ({f"{n}.0.0": n for n in range(100)}, "bad_structure"),
    ],
)
def test_a_faulty_reading_says_why(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(DecodeError) as error:
        decode_reading(changed(READING, **changes))
    assert error.value.reason == reason


@pytest.mark.parametrize(
    "payload",
    [READING[:-1], READING + b"}", READING + b"\x00", b"NaN", b'{"meter":{"1.29.0":NaN}}', b"\xef\xbb\xbf" + READING],
    ids=["truncated", "brace too many", "junk after", "NaN", "NaN inside", "byte order mark"],
)
def test_what_is_not_json_is_not_json(payload: bytes) -> None:
    with pytest.raises(DecodeError) as error:
        decode_reading(payload)
    assert error.value.reason == "not_json"


@pytest.mark.parametrize(
    "changes",
    [
        {"from": "2026-01-15T03:01:00+00:00"},
        {"from": "2026-01-15T05:00:00+00:00"},
        {"part": 2},
        {"part": 0},
        {"interval_s": 0},
        {"interval_s": 10**9},
        {"columns": ["1.29.0", "1.29.0"]},
        {"columns": "1.29.0"},
        {"rows": [["2026-01-15T03:15:00+00:00"]]},
        {"rows": [["2026-01-15T09:15:00+00:00", *range(16)]]},
        {"rows": [None]},
        {"rows": [["2026-01-15T03:15:00+00:00", *range(16)]] * 49},
        {"command": 7},
        {"command": "c\u0000"},
    ],
)
def test_a_faulty_load_profile_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        decode_profile(changed(PROFILE, **changes))


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "a\u202eb", "\u009b2J"])
def test_a_text_that_would_steer_a_terminal_is_refused(text: str) -> None:
    refusal = {"code": "command_refused", "detail": {"command": "c1", "reason": text}}
    for decode, document in (
        (decode_event, changed(EVENT, code=text)),
        (decode_event, changed(EVENT, **refusal)),
        (decode_answer, changed(ANSWER, reason=text)),
        (decode_profile, changed(PROFILE, command=text)),
        (decode_reading, changed(READING, **{text: 1})),
    ):
        with pytest.raises(DecodeError, match="printable characters"):
            decode(document)


def test_a_nul_in_a_detail_is_refused_since_the_database_cannot_hold_it() -> None:
    with pytest.raises(DecodeError):
        decode_event(changed(EVENT, detail={"x": ["\u0000"]}))


@pytest.mark.parametrize("document", [READING, EVENT, STATE, PROFILE], ids=["ds", "ev", "st", "lp"])
def test_one_byte_less_at_every_place(document: bytes) -> None:
    for decode in DECODERS:
        for end in range(len(document)):
            with pytest.raises(DecodeError):
                decode(document[:end])


@pytest.mark.parametrize("depth", [10, 1_000, 60_000])
def test_deep_nesting(depth: int) -> None:
    for decode in DECODERS:
        for payload in (b"[" * depth, b'{"meter":' * depth, b"[" * depth + b"]" * depth):
            with pytest.raises(DecodeError):
                decode(payload)


@given(st.binary(max_size=300))
def test_any_bytes(payload: bytes) -> None:
    for decode in DECODERS:
        # A few bytes can be a valid state; nothing else than a DecodeError may come of the others.
        with contextlib.suppress(DecodeError):
            decode(payload)


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["2026-01-15T03:15:00+00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(
    [*COLUMNS, "ts", "seq", "code", "detail", "value", "boot", "command", "from", "to", "part", "parts", "interval_s"]
) | st.sampled_from(["columns", "rows"])


@given(st.sampled_from([READING, EVENT, STATE, PROFILE]), st.dictionaries(KEYS, anything, max_size=3))
def test_documents_with_anything_in_their_fields(document: bytes, changes: dict[str, Any]) -> None:
    payload = changed(document, **changes)
    for decode in DECODERS:
        # Anything but a DecodeError would fail the test.
        with contextlib.suppress(DecodeError):
            decode(payload)


@given(
    st.fixed_dictionaries(
        {name: st.integers(0, 10**15) for name in COUNTED}
        | {name: st.floats(0, 1e6) for name in COLUMNS if name in MEASURED}
        | {name: st.floats(-1, 1) for name in ("33.7.0", "53.7.0", "73.7.0")}
        | {"96.10.1": st.integers(0, 2**31 - 1)}
    )
)
def test_whatever_a_meter_may_send_comes_out_as_it_went_in(sent: dict[str, float]) -> None:
    decoded = decode_reading(changed(READING, **sent))
    assert decoded.complete
    assert decoded.active_power_l2_w == sent["41.7.0"] - sent["42.7.0"]
    assert decoded.reactive_power_l3_var == sent["63.7.0"] - sent["64.7.0"]
    values = [*counters_of(decoded), *measures_of(decoded)]
    assert all(sent[code] in values for code in sent if code not in NETTED)


def test_no_channel_is_lost_between_names_and_codes() -> None:
    named = {code for name, code in OBIS.items()} | {code for pair in NET.values() for code in pair}
    assert named == set(COLUMNS)


@pytest.mark.parametrize(("code", "extreme"), [("voltage_sag", "lowest_v"), ("voltage_swell", "highest_v")])
def test_a_sag_or_swell_has_its_phase_its_extreme_and_its_duration(code: str, extreme: str) -> None:
    told = {"phase": "L2", extreme: 184.7, "duration_s": 42}
    event = decode_event(changed(EVENT, code=code, detail=told))
    assert (event.code, json.loads(event.detail_json), event.down_s) == (code, told, None)
    faulty = [{**told, "phase": 2}, {**told, extreme: "low"}, {**told, extreme: -1}, {**told, "duration_s": None}]
    for detail in [*faulty, *({key: told[key] for key in told if key != gone} for gone in told)]:
        with pytest.raises(DecodeError) as error:
            decode_event(changed(EVENT, code=code, detail=detail))
        assert error.value.reason == "bad_value"
