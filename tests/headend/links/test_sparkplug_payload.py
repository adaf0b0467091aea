"""Sparkplug payloads against an encoder of the test's own, against torn ones and against anything else."""

import contextlib
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headend.drivers import READING_COUNTERS, DecodeError, NamedValue, counters_of, driver_for, measures_of
from headend.drivers.obis import OBIS
from headend.links.sparkplug.payload import Metric, decode_payload, encode_command, value_of
from headend.links.sparkplug.session import EdgeSession
from tests.headend.fleet import LENGTH_S, START_S, values
from tests.headend.sparkplug_edge import (
    ALIASES,
    COUNTERS,
    DEVICE,
    INTERVAL,
    TYPES,
    M,
    interval_values,
    metrics_of,
    payload,
)

SERIAL = "AMI00000001"
decode_report = driver_for("sparkplug-mesh").sparkplug
assert decode_report is not None
DECODE = decode_report

RANGES = {
    **{kind: (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for kind, bits in ((1, 8), (2, 16), (3, 32), (4, 64))},
    **{kind: (0, 2**bits - 1) for kind, bits in ((5, 8), (6, 16), (7, 32), (8, 64), (13, 64))},
}
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@st.composite
def metrics(draw: st.DrawFn) -> M:
    kind = draw(st.sampled_from([*RANGES, 9, 10, 11, 12, 14, 15, 17]))
    if kind in RANGES:
        value: object = draw(st.integers(*RANGES[kind]))
    elif kind == 9:
        value = draw(st.floats(width=32, allow_nan=False))
    elif kind == 10:
        value = draw(st.floats(allow_nan=False))
    elif kind == 11:
        value = draw(st.booleans())
    else:
        value = draw(st.binary(max_size=20)) if kind == 17 else draw(texts)
    alias, time_ms = draw(st.none() | st.integers(0, 2**64 - 1)), draw(st.none() | st.integers(0, 2**64 - 1))
    return M(kind, draw(st.just(value) | st.none()), draw(texts), alias, time_ms)


def optional(metric: Metric) -> list[int | None]:
    return [getattr(metric, name) if metric.HasField(name) else None for name in ("alias", "timestamp")]


@given(st.lists(metrics(), max_size=8), st.none() | st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_what_another_encoder_wrote_is_read_as_it_was_meant(sent: list[M], seq: int | None, time_ms: int) -> None:
    decoded = decode_payload(payload(sent, seq=seq, time_ms=time_ms))
    assert (decoded.seq, decoded.time_ms) == (seq, time_ms)
    assert [
        (metric.name, *optional(metric), metric.datatype, value_of(metric, metric.datatype))
        for metric in decoded.metrics
    ] == [(metric.name, metric.alias, metric.time_ms, metric.datatype, metric.value) for metric in sent]


@pytest.mark.parametrize(("kind", "raw"), [(1, 0x80), (1, 0xFFFFFF80), (2, 0x8000), (2, 0xFFFF8000)])
def test_small_signed_integers_may_fill_their_carrier_or_not(kind: int, raw: int) -> None:
    (metric,) = decode_payload(payload([M(7, raw)], seq=0)).metrics
    assert value_of(metric, kind) == RANGES[kind][0]


@pytest.mark.parametrize(
    ("sent", "kind"), [(M(7, 256), 5), (M(7, 0x1FF), 1), (M(12, "7"), 4), (M(4, 1), 9), (M(11, True), 4), (M(4, 1), 99)]
)
def test_a_value_that_does_not_fit_its_type_is_refused(sent: M, kind: int) -> None:
    (metric,) = decode_payload(payload([sent], seq=0)).metrics
    with pytest.raises(DecodeError, match="bad_value"):
        value_of(metric, kind)


@pytest.mark.parametrize(
    ("sent", "kind"),
    [*((M(7, value), kind) for kind in (4, 8, 13) for value in (0, 5)), (M(8, 5), 7), (M(9, 1.5), 10), (M(10, 1.5), 9)],
)
def test_a_number_may_lie_in_the_narrower_or_the_wider_member(sent: M, kind: int) -> None:
    (metric,) = decode_payload(payload([sent], seq=0)).metrics
    assert value_of(metric, kind) == sent.value


def birth_and_block() -> tuple[bytes, bytes, bytes]:
    node = payload([M(8, 7, "bdSeq")], seq=0)
    born = payload([M(kind, None, name, number) for number, (name, kind) in enumerate(DEVICE)], seq=1)
    names = [name for name, _ in DEVICE]
    data = payload(
        [
            M(kind, value, "", names.index(name), end_s * 1000, typed=False)
            for end_s in (START_S + LENGTH_S, START_S + 2 * LENGTH_S)
            for (name, kind), value in zip(INTERVAL, interval_values(SERIAL, end_s), strict=True)
        ],
        seq=2,
    )
    return node, born, data


def read(node: bytes, born: bytes, data: bytes) -> object:
    session = EdgeSession(frozenset((SERIAL,)))
    session.node_birth(decode_payload(node))
    message = decode_payload(born)
    definitions = session.device_birth(SERIAL, message)
    DECODE(session.named(message, definitions), LENGTH_S, birth=True)
    message = decode_payload(data)
    return DECODE(session.named(message, session.device_data(SERIAL, message)), LENGTH_S, birth=False)


def test_a_block_of_intervals() -> None:
    report = DECODE(  # the same by names
        [
            NamedValue(name, end_s * 1000, value)  # type: ignore[arg-type]
            for end_s in (START_S + LENGTH_S, START_S + 2 * LENGTH_S)
            for (name, _), value in zip(INTERVAL, interval_values(SERIAL, end_s), strict=True)
        ],
        LENGTH_S,
        birth=False,
    )
    assert read(*birth_and_block()) == report
    first = report.readings[0]
    sent = values(1, START_S + LENGTH_S)
    assert first.end_s == START_S + LENGTH_S
    by_name = dict(zip(READING_COUNTERS, counters_of(first), strict=True))
    assert [by_name[name] for name in OBIS if OBIS[name] in COUNTERS] == [
        sent[code] for code in sorted(COUNTERS, key=list(OBIS.values()).index)
    ]
    assert (first.import_power_w, first.status, first.max_demand_import_w) == (sent["1.7.0"], 0, 5000)
    assert first.max_demand_at_s == START_S - LENGTH_S
    assert [first.active_power_l1_w, first.active_power_l2_w] == [sent["21.7.0"], -int(str(sent["42.7.0"]))]
    # float32 on the way, up to three decimals at the end.
    assert measures_of(first) == (231.4, 230.1, 229.9, 1.234, 0.5, 3.217, 0.967, -0.999, 1.0)
    assert first.complete
    assert [reading.end_s for reading in report.readings] == [START_S + LENGTH_S, START_S + 2 * LENGTH_S]


def test_torn_messages_raise_nothing_but_decode_errors() -> None:
    whole = birth_and_block()
    for place, message in enumerate(whole):
        understood = 0
        for end in range(len(message)):
            torn = [*whole]
            torn[place] = message[:end]
            with contextlib.suppress(DecodeError):
                read(*torn)
                understood += 1
        # Only at a boundary between two metrics does a message end by chance, and then its number is missing.
        assert understood == 0


@given(st.binary(max_size=200), st.integers(0, 2), st.integers(0, 400), st.binary(min_size=1, max_size=4))
def test_garbage_raises_nothing_but_decode_errors(data: bytes, place: int, at: int, patch: bytes) -> None:
    whole = birth_and_block()
    for message in (data, whole[place][:at] + patch + whole[place][at + len(patch) :]):
        broken = [*whole]
        broken[place] = message
        with contextlib.suppress(DecodeError):
            read(*broken)


def named(*items: tuple[str, object], time_ms: int | None = START_S * 1000) -> list[NamedValue]:
    return [NamedValue(name, time_ms, value) for name, value in items]  # type: ignore[arg-type]


ANSWER = {
    "Answer/Command": "c",
    "Answer/From": START_S * 1000,
    "Answer/To": (START_S + LENGTH_S) * 1000,
    "Answer/Part": 1,
    "Answer/Parts": 1,
}


@pytest.mark.parametrize(
    ("values_", "reason"),
    [
        (named(("Interval/1.8.0", 5)), "missing_field"),
        (named(("Interval/1.29.0", 5), ("Interval/1.29.0", 5)), "bad_structure"),
        (named(("Interval/1.29.0", -1)), "bad_value"),
        (named(("Interval/1.29.0", 1.5)), "bad_value"),
        (named(("Interval/1.29.0", 5), ("Interval/32.7.0", math.nan)), "bad_value"),
        (named(("Interval/1.29.0", 5), ("Interval/96.10.1", 2**31)), "bad_value"),
        (named(("Interval/1.29.0", 5), time_ms=None), "bad_time"),
        (named(("Interval/1.29.0", 5), time_ms=START_S * 1000 + 1), "bad_time"),
        (named(("Interval/1.29.0", 5), time_ms=2**64 - 616), "bad_time"),
        (named(("Interval/Length", 0)), "bad_value"),
        (named(("Event/Sequence", 1)), "missing_field"),
        (named(("Event/Sequence", 1), ("Event/Sequence", 2)), "bad_structure"),
        (named(("Event/Sequence", 1), ("Event/Code", "x"), ("Event/Detail", "{")), "not_json"),
        (named(("Event/Sequence", 1), ("Event/Code", "x"), ("Event/Detail", "[]")), "bad_structure"),
        (named(("Event/Sequence", 1), ("Event/Code", "last_gasp"), ("Event/Detail", "{}")), "bad_time"),
        (named(*(ANSWER | {"Answer/Part": 2}).items()), "bad_value"),
        (named(*(ANSWER | {"Answer/From": START_S * 1000 + 60_000}).items()), "bad_value"),
        (named(*(ANSWER | {"Answer/Command": None}).items()), "bad_value"),
        (named(*ANSWER.items(), ("Interval/1.29.0", 5)), "bad_value"),
        (named(("a\x00b", 1)), "bad_value"),
        (named(("foreign", 1), time_ms=None), "bad_time"),
    ],
)
def test_what_the_document_does_not_allow_is_refused(values_: list[NamedValue], reason: str) -> None:
    with pytest.raises(DecodeError) as caught:
        DECODE(values_, LENGTH_S, birth=False)
    assert caught.value.reason == reason


def test_a_birth_tells_no_events_and_answers_nothing() -> None:
    items = named(("Event/Sequence", 1), ("Event/Code", "momentary"), ("Meter/Boot", 4), *ANSWER.items())
    report = DECODE(items, LENGTH_S, birth=True)
    assert (report.event, report.answer, report.readings) == (None, None, [])
    assert report.boot == (4, START_S)


def test_metrics_of_other_makes_are_kept_if_they_are_numbers() -> None:
    items = named(("Inputs/Power", 5), ("Hot", True), ("Name", "x"), ("Raw", b"x"), ("Bad", math.inf), ("Gone", None))
    report = DECODE([*items, *named(("Device Control/Reboot", False))], LENGTH_S, birth=False)
    assert report.others == [("Inputs/Power", START_S, 5.0), ("Hot", START_S, 1.0)]


def test_commands_can_be_read_by_others() -> None:
    data = encode_command([("Node Control/Rebirth", True), ("Node Control/Fence", "t-1")], time_ms=5)
    assert metrics_of(data) == {"Node Control/Rebirth": True, "Node Control/Fence": "t-1"}
    alias = ALIASES + list(TYPES).index("Device Control/Command")
    assert metrics_of(encode_command([(alias, "sealed")], time_ms=5)) == {"Device Control/Command": "sealed"}
    assert struct.pack("B", 8) == data[:1], "the payload's own time comes first, and there is no seq"
    assert decode_payload(data).seq is None


@pytest.mark.parametrize(
    ("code", "value"),
    [
        *((code, value) for code in ("32.7.0", "31.7.0", "73.7.0") for value in (math.nan, math.inf, -1.5, "1")),
        ("33.7.0", 1.5),
        *((code, value) for code in ("1.8.0", "2.29.0", "24.7.0") for value in (-1, 0.5, True, 10**15 + 1)),
        ("96.10.1", 2**31),
    ],
)
def test_one_value_that_cannot_be_is_found_among_those_of_a_whole_interval(code: str, value: object) -> None:
    name = f"Interval/{code}"
    sent = dict(zip((name for name, _ in INTERVAL), interval_values(SERIAL, START_S + LENGTH_S), strict=True))
    assert name in sent
    with pytest.raises(DecodeError, match="bad_value"):
        DECODE(named(*(sent | {name: value}).items()), LENGTH_S, birth=False)


def test_a_text_that_is_not_utf_8_makes_no_payload() -> None:
    sent = payload([M(12, "ab", "name", 1)], seq=0)
    for text in (b"ab", b"name"):
        with pytest.raises(DecodeError, match=r"not_protobuf.*UTF-8"):
            decode_payload(sent.replace(text, b"\xff" * len(text)))
