"""Delays that grow while somebody does not answer. Pure."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BackOff:
    """Delays that double from `first_s` to `max_s`, spread by ± 25 % so that a fleet does not speak in one breath."""

    first_s: float
    max_s: float

    def delay_s(self, attempt: int, key: str) -> float:
        """The delay after attempt 0, 1, …; the same for the same key, as a seeded run must repeat itself."""
        delay_s = min(self.max_s, self.first_s * 2.0 ** min(attempt, 30))
        return delay_s * random.Random(f"{key}/{attempt}").uniform(0.75, 1.25)
