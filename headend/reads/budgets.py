"""How much of what is not an interval reading the head-end keeps of one station: so much at once, so much an hour.

A lying or broken device can fill no disk, and costs no other device anything: each has its own budgets, and whoever
names no known device shares those of nobody. Time is the head-end's clock. Memory is bounded by the registry.
"""

from dataclasses import dataclass

from headend.buckets import Buckets
from headend.log import logger

NOBODY = ""
"""The station of messages that name none that is known."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Rows of one kind. `reason`: of the dead letter that counts what is beyond; None keeps the letter's own."""

    name: str
    at_once: int
    per_hour: int
    reason: str | None


# At once: what a meter may bring after 60 days of silence, if it had a bad time. Per hour: several times what the worst
# of the lab's vendors needs on a day with outages.
EVENTS = Kind("events", 500, 120, "too_many_events")
OTHER_READINGS = Kind("other readings", 20_000, 1_000, "too_many_other_readings")
COMMUNICATIONS = Kind("changes of communication", 200, 60, "too_many_communications")
IMPLAUSIBLE = Kind("implausible intervals", 500, 60, "too_many_implausible")
DOUBTFUL = Kind("doubtful interruptions", 200, 20, "too_many_doubtful")
DEAD_LETTERS = Kind("dead letters", 200, 60, None)
NOBODYS_LETTERS = Kind("dead letters of no known device", 2_000, 600, None)


class Budgets:
    """The budgets of all stations: meters by serial, collectors by name."""

    def __init__(self) -> None:
        self._buckets = Buckets()
        # Of which station and kind it was said that nothing is left.
        self._told: set[tuple[str, str]] = set()

    def spend(self, station: str, kind: Kind, now_s: float, *, rows: int = 1, hour_s: float = 3600.0) -> bool:
        """Take `rows` from a station's budget; False, and nothing is taken, if they are not left.

        `hour_s`: what an hour is to a station whose capture period is shorter than the usual ones.
        """
        key = station, kind.name
        enough = self._buckets.take(key, kind, now_s, rows, hour_s=hour_s)
        if enough:
            # Said again only after it has recovered: not at each drop of the trickle that comes in.
            if key in self._told and self._buckets.left(key, kind, now_s, hour_s=hour_s) >= kind.at_once / 2:
                self._told.remove(key)
        elif key not in self._told:
            self._told.add(key)
            logger().warning(
                "a device exceeds its bounds: what is beyond is only counted",
                station=station or "nobody",
                kind=kind.name,
                at_once=kind.at_once,
                per_hour=kind.per_hour,
            )
        return enough


def hour_of(interval_length_s: int) -> float:
    """What an hour is to a meter: four capture periods, if these are shorter than a quarter of an hour."""
    return float(min(3600, 4 * interval_length_s))
