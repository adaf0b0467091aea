"""What was done to the run, as the report marks it on the time axes."""

from collections.abc import Iterable
from dataclasses import dataclass

from lab.verdict.read_reasons import Interruption


@dataclass(frozen=True, slots=True)
class RunEvent:
    """Something that the scenario did at `time_s` [epoch s], undone at `until_s` if it lasts.

    `target`: the part or device, `stations`: the meters and collectors, cells or operators that it did it to.
    """

    time_s: float
    kind: str
    label: str
    until_s: float | None = None
    target: str = ""
    stations: tuple[str, ...] = ()

    @property
    def interruption(self) -> Interruption | None:
        """What kept reads from coming that had arrived, or were to be sent: a dead part, a lost uplink."""
        until_s = self.time_s if self.until_s is None else self.until_s
        match self.kind:
            case "kill":
                return Interruption(self.time_s, until_s, part=self.target)
            case "uplink_loss" | "collector_failure":
                return Interruption(self.time_s, until_s, stations=self.stations)
            case _:
                return None


def interruptions_of(events: Iterable[RunEvent]) -> list[Interruption]:
    return [each for event in events if (each := event.interruption) is not None]
