from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meters.carriers.sparkplug import payload
from meters.carriers.sparkplug.device_metrics import DeviceMetrics
from meters.carriers.sparkplug.payload import Answer, Closed
from meters.device.records import IntervalRecord
from meters.vendors.sparkplug_mesh import wire
from tests.meters.interval_records import LARGEST, coded, interval_records
from tests.meters.sparkplug_reader import BOOLEAN, DATE_TIME, FLOAT, INT64, UINT32, Metric, read, write

METRICS = DeviceMetrics(wire)
NAMES = [spec.name for spec in METRICS.specs]
COLUMNS = list(coded(LARGEST))
FIRST_ALIAS = 55
NOW_S = 1_768_435_200
FLOATS = {f"{20 * phase + quantity}.7.0" for phase in (1, 2, 3) for quantity in (11, 12, 13)}

seqs = st.integers(0, 255)
blocks = st.lists(interval_records(), min_size=1, max_size=20).map(
    lambda found: [Closed(NOW_S + 900 * number, record) for number, record in enumerate(found)]
)


def as_float32(value: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def name_of(metric: Metric) -> str:
    assert metric.alias is not None
    return NAMES[metric.alias - FIRST_ALIAS]


def intervals_in(metrics: list[Metric]) -> list[tuple[int, tuple[float, ...], bool]]:
    """(timestamp in ms, values in the order of the table, historical), from runs of a metric for each column."""
    assert len(metrics) % len(COLUMNS) == 0
    found: list[tuple[int, tuple[float, ...], bool]] = []
    for start in range(0, len(metrics), len(COLUMNS)):
        run = metrics[start : start + len(COLUMNS)]
        assert [name_of(metric) for metric in run] == [f"Interval/{obis}" for obis in COLUMNS]
        assert all(metric.name is None and metric.datatype is None for metric in run)
        assert len({(metric.timestamp_ms, metric.historical) for metric in run}) == 1
        assert run[0].timestamp_ms is not None
        found.append((run[0].timestamp_ms, tuple(metric.value for metric in run), run[0].historical))
    return found


def as_sent(closed: list[Closed], historical: bool) -> list[tuple[int, tuple[float, ...], bool]]:
    found = []
    for end_s, record in closed:
        said = coded(record)
        row = [as_float32(value) if code in FLOATS else value for code, value in said.items()]
        row[list(said).index("1.6.0.5")] *= 1000
        found.append((end_s * 1000, tuple(row), historical))
    return found


@given(blocks, seqs, st.booleans())
def test_a_block_has_each_interval_whole_and_in_order(closed: list[Closed], seq: int, historical: bool) -> None:
    found = read(METRICS.intervals(NOW_S + 30, seq, FIRST_ALIAS, closed, historical=historical))
    assert (found.timestamp_ms, found.seq) == ((NOW_S + 30) * 1000, seq)
    assert intervals_in(found.metrics) == as_sent(closed, historical)


@given(blocks, blocks, st.booleans())
def test_a_message_keeps_nothing_of_the_one_before(first: list[Closed], second: list[Closed], historical: bool) -> None:
    METRICS.intervals(NOW_S, 1, FIRST_ALIAS + 7, first, historical=historical)
    found = read(METRICS.intervals(NOW_S, 2, FIRST_ALIAS, second, historical=historical))
    assert intervals_in(found.metrics) == as_sent(second, historical)


def test_the_longest_message_stays_below_its_limit() -> None:
    most = Closed(4_000_000_000, LARGEST)
    message = METRICS.intervals(4_000_000_000, 255, 10**7, [most] * payload.INTERVALS_PER_MESSAGE, historical=True)
    assert len(message) < 60_000


@given(st.integers(0, 255), st.integers(1, 5000))
def test_node_birth_and_death_carry_one_session_number(bd_seq: int, meters: int) -> None:
    birth = read(payload.encode_node_birth(NOW_S, bd_seq, meters, mains=False, first_alias=99))
    assert birth.seq == 0
    assert {(m.name, m.datatype, m.value) for m in birth.metrics} == {
        ("bdSeq", INT64, bd_seq),
        ("Node Control/Rebirth", BOOLEAN, False),
        ("Properties/Meters", UINT32, meters),
        ("Power/Mains", BOOLEAN, False),
    }
    assert all(m.timestamp_ms == NOW_S * 1000 for m in birth.metrics)
    assert {m.name: m.alias for m in birth.metrics} == {
        "Node Control/Rebirth": None,
        "Power/Mains": 99,
        "bdSeq": 100,
        "Properties/Meters": 101,
    }
    death = read(payload.encode_death(NOW_S, bd_seq))
    assert death.seq is None
    assert [(m.name, m.datatype, m.value) for m in death.metrics] == [("bdSeq", INT64, bd_seq)]


@given(seqs, st.integers(0, 2**31), st.none() | interval_records(), st.sampled_from([NOW_S - 900, NOW_S + 5]))
def test_a_device_birth_declares_every_metric(seq: int, boot: int, record: IntervalRecord | None, end_s: int) -> None:
    last = None if record is None else Closed(end_s, record)
    found = read(METRICS.birth(NOW_S, seq, FIRST_ALIAS, interval_length_s=900, boot=boot, last=last))
    assert found.seq == seq
    assert {m.name: m.alias for m in found.metrics} == {
        name: alias for alias, name in enumerate(NAMES, start=FIRST_ALIAS)
    }
    assert len(found.metrics) == len(NAMES)
    times_ms = [m.timestamp_ms or 0 for m in found.metrics]
    assert times_ms == sorted(times_ms), "what is not historical stands in the order of its time"
    metrics = found.by_name()
    assert (metrics["Interval/Length"].value, metrics["Meter/Boot"].value) == (900, boot)
    assert metrics["Interval/1.29.0"].properties == {"engUnit": "Wh"}
    assert metrics["Interval/1.7.0"].properties == {"engUnit": "W"}
    assert metrics["Interval/32.7.0"].properties == {"engUnit": "V"}
    kinds = dict.fromkeys(COLUMNS, INT64) | dict.fromkeys(FLOATS, FLOAT) | {"1.6.0.5": DATE_TIME, "96.10.1": UINT32}
    assert {code: metrics[f"Interval/{code}"].datatype for code in COLUMNS} == kinds
    of_interval = [metrics[f"Interval/{obis}"] for obis in COLUMNS]
    if last is None:
        assert all(m.null for m in of_interval)
    else:
        assert tuple(m.value for m in of_interval) == as_sent([last], False)[0][1]
        assert {m.timestamp_ms for m in of_interval} == {end_s * 1000}
    assert all(metrics[name].null for name in NAMES if name.startswith(("Event/", "Answer/", "Device Control/")))


@given(seqs, st.integers(1, 2**40), st.text(max_size=30), st.text(max_size=60), st.booleans())
def test_an_event_is_three_metrics_of_one_instant(
    seq: int, sequence: int, code: str, detail: str, historical: bool
) -> None:
    encoded = METRICS.event(
        NOW_S, seq, FIRST_ALIAS, device_time_s=NOW_S - 5, sequence=sequence, code=code, detail=detail,
        historical=historical,
    )  # fmt: skip
    found = read(encoded)
    assert {name_of(m): m.value for m in found.metrics} == {
        "Event/Sequence": sequence, "Event/Code": code, "Event/Detail": detail,
    }  # fmt: skip
    assert {(m.timestamp_ms, m.historical) for m in found.metrics} == {((NOW_S - 5) * 1000, historical)}


@given(st.lists(interval_records(), max_size=48), seqs)
def test_an_answer_says_what_it_covers_and_then_its_intervals(records: list[IntervalRecord], seq: int) -> None:
    closed = [Closed(NOW_S + 900 * number, record) for number, record in enumerate(records)]
    answer = Answer("6b1f", NOW_S + 7, NOW_S - 900, NOW_S + 900)
    found = read(METRICS.answer(NOW_S, seq, FIRST_ALIAS, answer, closed, part=2, parts=3))
    head, rest = found.metrics[:5], found.metrics[5:]
    assert {name_of(m): m.value for m in head} == {
        "Answer/Command": "6b1f", "Answer/From": (NOW_S - 900) * 1000, "Answer/To": (NOW_S + 900) * 1000,
        "Answer/Part": 2, "Answer/Parts": 3,
    }  # fmt: skip
    assert {m.timestamp_ms for m in head} == {(NOW_S + 7) * 1000}
    assert intervals_in(rest) == as_sent(closed, True)


@given(
    st.lists(
        st.tuples(
            st.none() | st.text(max_size=20), st.none() | st.integers(0, 2**40), st.none() | st.booleans() | st.text()
        )
    )
)
def test_what_a_command_writes_is_read_back(metrics: list[tuple[str | None, int | None, bool | str | None]]) -> None:
    assert payload.decode_command(write(metrics)) == metrics


def test_values_of_other_types_and_unknown_fields_are_read_past() -> None:
    # alias 5 = uint64 9, then a field 18 (template) that a command has no use for, and a `uuid`.
    assert payload.decode_command(b"\x12\x04\x10\x05\x58\x09\x12\x06\x10\x06\x92\x01\x01a\x22\x01u") == [
        (None, 5, 9),
        (None, 6, None),
    ]


@given(st.binary(max_size=60))
def test_garbage_is_refused_or_harmless(data: bytes) -> None:
    with suppress(ValueError):
        payload.decode_command(data)


def test_a_truncated_command_is_refused() -> None:
    whole = write([("Node Control/Rebirth", None, True)])
    with pytest.raises(ValueError, match="not a payload"):
        payload.decode_command(whole[:-3])
