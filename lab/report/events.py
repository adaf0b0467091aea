"""What was done to the run, as the report marks it on the time axes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RunEvent:
    """Something that the scenario did at `time_s` [epoch s], undone at `until_s` if it lasts."""

    time_s: float
    kind: str
    label: str
    until_s: float | None = None
