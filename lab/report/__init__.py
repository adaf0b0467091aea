"""report.html: a run's verdict for people, in one file without scripts and without anything fetched."""

from lab.report.events import RunEvent
from lab.report.latency import LATENCIES
from lab.report.page import write_report

__all__ = ["LATENCIES", "RunEvent", "write_report"]
