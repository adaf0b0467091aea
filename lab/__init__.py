"""The composition root: command, scenarios, simulated time, processes, verdict, reports."""

__version__ = "0.1.0"
