"""How old readings were when they were committed, and how long the head-end's intake took."""

LATENCIES = "latencies.json"
"""The head-end's own histogram, in a run's directory: `upper_ms` and `messages`, one entry per bin."""
