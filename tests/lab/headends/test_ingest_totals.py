"""The head-end's figures over several lives."""

import json
from pathlib import Path

from headend.metrics import LatencyHistogram
from lab.headends.ingest_totals import IngestTotals


def life(messages: int, latency_s: float, busy_s: float) -> dict[str, object]:
    histogram = LatencyHistogram()
    histogram.add(latency_s, messages)
    return {
        "messages": messages,
        "rows": messages // 2,
        "busy_s": busy_s,
        "latency_histogram": histogram.to_dict(),
    }


def test_lives_add_up_once_and_percentiles_are_those_of_all_messages() -> None:
    totals = IngestTotals()
    totals.note("first", life(500, 0.010, 0.5))
    totals.note("first", life(900, 0.010, 1.0))
    totals.note("second", life(100, 0.500, 3.0))
    facts = totals.facts()
    assert (facts.messages, facts.rows) == (1000, 500)
    assert facts.messages_per_s == 250.0
    assert 10.0 <= facts.receive_to_commit_ms.p50 <= 10.3
    assert 488.0 <= facts.receive_to_commit_ms.p95 <= 500.0
    assert facts.receive_to_commit_ms.max == 500.0


def test_the_histogram_of_all_lives_is_written_with_its_gaps(tmp_path: Path) -> None:
    totals = IngestTotals()
    totals.note("first", life(900, 0.010, 1.0))
    totals.note("second", life(100, 0.500, 3.0))
    totals.write_latencies(tmp_path / "latencies.json")
    bins = json.loads((tmp_path / "latencies.json").read_text())
    assert [count for count in bins["messages"] if count] == [900, 100]
    assert len(bins["upper_ms"]) == len(bins["messages"]) > 150
    assert 10.0 <= bins["upper_ms"][0] <= 10.3
    assert 499.0 <= bins["upper_ms"][-1] <= 512.0


def test_no_life_no_rates() -> None:
    facts = IngestTotals().facts()
    assert (facts.messages, facts.messages_per_s) == (0, 0.0)
