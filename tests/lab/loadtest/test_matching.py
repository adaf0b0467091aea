"""Published against stored: what is lost is found exactly, whatever else is wrong."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.loadtest.matching import Stored, key, match_events, match_intervals, unkey
from loadtests.duties import Kind
from loadtests.ledger import SCHEMA
from loadtests.readings import import_wh

NAN = float("nan")
intervals = st.tuples(st.integers(0, 50), st.integers(-40, 40))


def ledger(*entries: tuple[Kind, int, int, int, float, float]) -> pa.Table:
    """(kind, meter, first, count, sent, acknowledged)"""
    columns = zip(*((int(k), m, f, c, sent, sent, acked) for k, m, f, c, sent, acked in entries), strict=True)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return pa.table(arrays, schema=SCHEMA) if entries else SCHEMA.empty_table()


def stored(*rows: tuple[int, int, float], wrong: int = 0) -> Stored:
    meter, number = (np.array([row[at] for row in rows], dtype=np.int64) for at in (0, 1))
    committed_s = np.array([row[2] for row in rows], dtype=np.float64)
    return Stored(meter, number, committed_s, import_wh(meter, number) + wrong)


@given(intervals)
def test_a_key_names_one_interval(interval: tuple[int, int]) -> None:
    meter, number = (np.array([value]) for value in interval)
    assert [part.tolist() for part in unkey(key(meter, number))] == [[interval[0]], [interval[1]]]


@given(st.sets(intervals, min_size=1), st.data())
def test_lost_is_what_was_acknowledged_and_is_not_there(published: set[tuple[int, int]], data: st.DataObject) -> None:
    ordered = sorted(published)
    acknowledged = data.draw(st.sets(st.sampled_from(ordered)))
    there = data.draw(st.sets(st.sampled_from(ordered)))
    entries = [(Kind.READING, m, n, 1, 10.0, 10.5 if (m, n) in acknowledged else NAN) for m, n in ordered]
    found = match_intervals(ledger(*entries), stored(*((m, n, 11.0) for m, n in sorted(there))))
    assert {tuple(row) for row in found.lost.tolist()} == acknowledged - there
    assert (found.published, found.acknowledged, found.stored) == (len(published), len(acknowledged), len(there))
    assert found.latency_s.tolist() == pytest.approx([1.0] * len(there))
    assert found.altered == found.duplicate_rows == found.unknown_rows == 0


def test_a_block_is_as_many_intervals_as_it_has() -> None:
    found = match_intervals(ledger((Kind.BLOCK, 3, -4, 4, 10.0, 10.1)), stored((3, -4, 10.2), (3, -2, 10.4)))
    assert found.published == 4
    assert found.lost.tolist() == [[3, -3], [3, -1]]
    assert sorted(found.latency_s.tolist()) == pytest.approx([0.2, 0.4])


def test_what_was_published_twice_counts_from_the_first_time() -> None:
    twice = ledger((Kind.READING, 1, 1, 1, 12.0, NAN), (Kind.BACKLOG, 1, 1, 1, 10.0, 10.1))
    found = match_intervals(twice, stored((1, 1, 13.0)))
    assert (found.published, found.acknowledged) == (1, 1)
    assert found.latency_s.tolist() == [3.0]


def test_rows_too_many_unknown_and_altered_are_told_apart() -> None:
    one = ledger((Kind.READING, 1, 1, 1, 10.0, 10.1))
    assert match_intervals(one, stored((1, 1, 11.0), (1, 1, 12.0))).duplicate_rows == 1
    assert match_intervals(one, stored((1, 1, 11.0), (1, 2, 12.0))).unknown_rows == 1
    assert match_intervals(one, stored((1, 1, 11.0), wrong=1)).altered == 1


def test_events_and_intervals_do_not_mix() -> None:
    both = ledger((Kind.EVENT, 1, 1, 1, 10.0, 10.1), (Kind.POLL, 1, 2, 1, 10.0, 10.1))
    none = Stored(*(np.empty(0, dtype=np.int64),) * 2, np.empty(0), np.empty(0, dtype=np.int64))
    assert match_intervals(both, none).published == 0
    assert match_events(both, none).lost.tolist() == [[1, 1]]
