"""Prometheus metrics of one head-end, and the exact figures that the verdict quotes."""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from headend.errors import MetricsPortError

# Receive to commit, s.
_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)


class Metrics:
    """Counters in a registry of their own, so that two head-ends in one process do not collide."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        name = "amilab_headend"
        registry = self.registry
        self.messages = Counter(f"{name}_messages", "Messages committed", registry=registry)
        self.rows = Counter(f"{name}_rows", "Interval rows committed, revisions included", registry=registry)
        self.duplicates = Counter(f"{name}_duplicates", "Interval rows that were stored already", registry=registry)
        self.revisions = Counter(f"{name}_revisions", "Different values for a stored interval", registry=registry)
        self.dead_letters = Counter(f"{name}_dead_letters", "Messages kept raw", ["reason"], registry=registry)
        self.implausible = Counter(
            f"{name}_implausible_readings",
            "Intervals that are kept aside and count in no sum",
            ["reason"],
            registry=registry,
        )
        self.dropped = Counter(
            f"{name}_dropped_rows",
            "Beyond a device's bounds: counted in one dead letter",
            ["reason"],
            registry=registry,
        )
        self.receive_to_commit = Histogram(
            f"{name}_receive_to_commit_seconds",
            "From the socket to the commit, one observation per batch: its oldest message",
            buckets=_BUCKETS,
            registry=registry,
        )
        self.pending = Gauge(f"{name}_pending_messages", "Received and not yet committed", registry=registry)
        self.batch_rows = Histogram(
            f"{name}_batch_rows",
            "Rows per batch",
            buckets=(1, 10, 100, 500, 1000, 2000, 5000, 20000),
            registry=registry,
        )
        self.recovery_requests = Counter(f"{name}_recovery_requests", "Load profiles asked for", registry=registry)
        self.rebirths = Counter(f"{name}_rebirth_requests", "Births asked for anew", registry=registry)
        self.polls = Counter(f"{name}_polls", "Modbus polls by what became of them", ["result"], registry=registry)
        self.outages = Counter(f"{name}_outages", "Outages found, momentary ones included", registry=registry)
        self.reconnects = Counter(f"{name}_reconnects", "Connections to the broker after the first", registry=registry)
        self.database_retries = Counter(
            f"{name}_database_retries", "Transactions begun anew after a loss of the database", registry=registry
        )


@contextlib.contextmanager
def served(metrics: Metrics, port: int) -> Iterator[None]:
    """The metrics on a port, meanwhile. Raises MetricsPortError."""
    try:
        server, _ = start_http_server(port, registry=metrics.registry)
    except OSError as error:
        raise MetricsPortError(f"metrics port {port}: {error.strerror}; choose another or none") from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


class LatencyHistogram:
    """Latencies in 800 logarithmic bins from 10 µs to 1,000 s: each percentile within 2.4 %, in bounded memory."""

    _LOW_S = 1e-5
    _PER_DECADE = 100
    _BINS = 800

    def __init__(self) -> None:
        self._counts: NDArray[np.int64] = np.zeros(self._BINS + 1, dtype=np.int64)
        self._max_s = 0.0

    def add(self, latency_s: float, count: int) -> None:
        """`count` messages took `latency_s` each."""
        place = math.ceil(math.log10(max(latency_s, self._LOW_S) / self._LOW_S) * self._PER_DECADE)
        self._counts[min(place, self._BINS)] += count
        self._max_s = max(self._max_s, latency_s)

    def to_dict(self) -> dict[str, object]:
        """For another histogram to `merge`: bins that are not empty, and the maximum in seconds."""
        places = np.flatnonzero(self._counts)
        return {
            "bins": dict(zip(map(str, places.tolist()), self._counts[places].tolist(), strict=True)),
            "max_s": self._max_s,
        }

    def merge(self, other: dict[str, Any]) -> None:
        """Add what `to_dict` gave."""
        for place, count in other["bins"].items():
            self._counts[int(place)] += count
        self._max_s = max(self._max_s, other["max_s"])

    def percentile_s(self, percent: float) -> float:
        """The upper edge of the bin that holds the percentile; 0 without data."""
        total = int(self._counts.sum())
        if total == 0:
            return 0.0
        place = int(np.searchsorted(np.cumsum(self._counts), max(1.0, total * percent / 100.0)))
        return min(float(self._LOW_S * 10.0 ** (place / self._PER_DECADE)), self._max_s)

    def bins_ms(self) -> tuple[list[float], list[int]]:
        """Upper edges in milliseconds and counts of the bins from the first to the last that is not empty."""
        places = np.flatnonzero(self._counts)
        if not len(places):
            return [], []
        inside = np.arange(places[0], places[-1] + 1)
        edges_ms = self._LOW_S * 10.0 ** (inside / self._PER_DECADE) * 1e3
        return edges_ms.tolist(), self._counts[inside].tolist()

    def as_ms(self) -> dict[str, float]:
        """p50, p95, p99 and max in milliseconds."""
        figures = {f"p{percent}": self.percentile_s(percent) * 1e3 for percent in (50, 95, 99)}
        return {**figures, "max": self._max_s * 1e3}
