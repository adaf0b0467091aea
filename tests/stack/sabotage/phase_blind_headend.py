"""A head-end that hears of lost phases and makes nothing of them: each customer without its only phase is by itself."""

from collections.abc import Mapping

from headend.outages.phases import Phases
from lab.parts.headend import HeadPart
from lab.parts.process import run_part


def blind(self: Phases, lost: Mapping[int, str]) -> Phases:
    del lost
    return Phases.unknown(len(self.known))


if __name__ == "__main__":
    Phases.with_lost = blind  # type: ignore[method-assign] # that is the sabotage
    run_part("sabotage", lambda _name: HeadPart().handlers())
