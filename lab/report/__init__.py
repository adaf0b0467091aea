"""report.html: a run's verdict for people, in one file that fetches nothing and runs no script but its own."""

from lab.report.events import RunEvent, interruptions_of
from lab.report.latency import LATENCIES
from lab.report.page import REPORT_FILES, write_report

__all__ = ["LATENCIES", "REPORT_FILES", "RunEvent", "interruptions_of", "write_report"]
