"""What was committed in this life, for whoever watches and for the verdict."""

import time

from headend.metrics import LatencyHistogram, Metrics
from headend.reads.pending import Pending
from headend.store.writer import Written


class Totals:
    """Messages and rows, and how long they took; our own fences do not count."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._latencies = LatencyHistogram()
        self._busy_s = 0.0
        self._busy_until_s = 0.0
        self.messages = 0
        self.rows = 0

    def stats(self) -> dict[str, object]:
        """messages, rows, busy_s (wall s with something pending), receive_to_commit_ms {p50, p95, p99, max}."""
        return {
            "messages": self.messages,
            "rows": self.rows,
            "busy_s": self._busy_s,
            "receive_to_commit_ms": self._latencies.as_ms(),
            "latency_histogram": self._latencies.to_dict(),
        }

    def committed(self, pending: Pending, written: Written) -> None:
        """A batch was committed and acknowledged."""
        done_s = time.perf_counter()
        metrics = self._metrics
        # What was recorded without a message was on its way for no time.
        first_s = pending.arrivals[0][0] if pending.arrivals else done_s
        for arrived_s, count in pending.arrivals:
            self._latencies.add(done_s - arrived_s, count)
        self._busy_s += done_s - max(first_s, self._busy_until_s)
        self._busy_until_s = done_s
        messages = pending.messages - pending.uncounted
        self.messages += messages
        self.rows += written.inserted + written.revisions
        metrics.messages.inc(messages)
        metrics.rows.inc(written.inserted + written.revisions)
        metrics.duplicates.inc(written.duplicates)
        metrics.revisions.inc(written.revisions)
        metrics.receive_to_commit.observe(done_s - first_s)
        metrics.batch_rows.observe(pending.batch.rows)
        for reason, count in pending.dead.items():
            metrics.dead_letters.labels(reason).inc(count)
        for _, _, _, reason, *_ in pending.batch.implausible:
            metrics.implausible.labels(reason).inc()
        for (_, reason, _), dropped in pending.batch.dropped.items():
            metrics.dropped.labels(reason).inc(dropped.copies)
        if written.too_many:
            metrics.dropped.labels("too_many_revisions").inc(written.too_many)
        if written.refused:
            metrics.dead_letters.labels("refused_by_database").inc(written.refused)
