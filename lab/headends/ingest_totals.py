"""The head-end's own figures over all its lives: a process that is killed takes its counters with it."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

from headend.metrics import LatencyHistogram
from lab.verdict.context import IngestFacts, LatencyMs


class IngestTotals:
    """Adds up what each life of the head-end says of itself, the last time that it does."""

    def __init__(self) -> None:
        self._lives: dict[Hashable, Mapping[str, Any]] = {}

    def note(self, life: Hashable, stats: Mapping[str, Any]) -> None:
        """The figures of one life so far, as `HeadEnd.ingest_stats` gives them, instead of those noted before."""
        self._lives[life] = stats

    def write_latencies(self, path: Path) -> None:
        """Write how long messages took from the socket to the commit, as JSON: `upper_ms`, `messages` of each bin."""
        upper_ms, messages = self._latencies().bins_ms()
        path.write_text(json.dumps({"upper_ms": upper_ms, "messages": messages}) + "\n", encoding="utf-8")

    def facts(self) -> IngestFacts:
        """Rates are per second of wall clock in which the head-end had something to do."""
        messages, rows, busy_s = (
            sum(life[name] for life in self._lives.values()) for name in ("messages", "rows", "busy_s")
        )
        per_s = 1.0 / busy_s if busy_s > 0 else 0.0
        return IngestFacts(
            messages=messages,
            rows=rows,
            messages_per_s=messages * per_s,
            rows_per_s=rows * per_s,
            receive_to_commit_ms=LatencyMs(**self._latencies().as_ms()),
        )

    def _latencies(self) -> LatencyHistogram:
        histogram = LatencyHistogram()
        for life in self._lives.values():
            histogram.merge(life["latency_histogram"])
        return histogram
