"""The head-end's own figures over all its lives: a process that is killed takes its counters with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headend.metrics import LatencyHistogram
from lab.verdict.context import IngestFacts, LatencyMs


class IngestTotals:
    """Adds up what each life of the head-end says of itself before it ends."""

    def __init__(self) -> None:
        self._messages = 0
        self._rows = 0
        self._busy_s = 0.0
        self._latencies = LatencyHistogram()

    def add(self, stats: Mapping[str, Any]) -> None:
        """Add the figures of one life, as `HeadEnd.ingest_stats` gives them."""
        self._messages += stats["messages"]
        self._rows += stats["rows"]
        self._busy_s += stats["busy_s"]
        self._latencies.merge(stats["latency_histogram"])

    def write_latencies(self, path: Path) -> None:
        """Write how long messages took from the socket to the commit, as JSON: `upper_ms`, `messages` of each bin."""
        upper_ms, messages = self._latencies.bins_ms()
        path.write_text(json.dumps({"upper_ms": upper_ms, "messages": messages}) + "\n", encoding="utf-8")

    def facts(self) -> IngestFacts:
        """Rates are per second of wall clock in which the head-end had something to do."""
        figures = self._latencies.as_ms()
        per_s = 1.0 / self._busy_s if self._busy_s > 0 else 0.0
        return IngestFacts(
            messages=self._messages,
            rows=self._rows,
            messages_per_s=self._messages * per_s,
            rows_per_s=self._rows * per_s,
            receive_to_commit_ms=LatencyMs(**figures),
        )
