"""Beside its readings: the files of a run's directory in which our own head-end speaks (lab/headends/export.py)."""

from lab.verdict.tables import EVENTS_FILE, PHASE_EVENTS_FILE

DEAD_LETTERS_FILE = "dead_letters.parquet"
COMMUNICATION_FILE = "communication.parquet"
POLLS_FILE = "polls.parquet"
IMPLAUSIBLE_FILE = "implausible.parquet"
FIGURES_FILE = "figures.json"
HEADEND_FILES = (
    DEAD_LETTERS_FILE, EVENTS_FILE, PHASE_EVENTS_FILE, COMMUNICATION_FILE, POLLS_FILE, IMPLAUSIBLE_FILE, FIGURES_FILE,
)  # fmt: skip
