"""A meter that keeps to itself that it lost a phase, and that the phase came back."""

from collections.abc import Sequence

from lab.parts.fleet import FleetPart
from lab.parts.process import run_part
from meters.device.phases import PhaseChange
from meters.fleet.recording import Recording

log = Recording._log_phases


def keep(self: Recording, changes: Sequence[PhaseChange]) -> None:
    if changes:
        self.discreet = getattr(self, "discreet", changes[0].row)  # type: ignore[attr-defined] # who keeps quiet
        changes = [change for change in changes if change.row != self.discreet]  # type: ignore[attr-defined]
    log(self, changes)


if __name__ == "__main__":
    Recording._log_phases = keep  # type: ignore[method-assign] # that is the sabotage
    run_part("sabotage", lambda _name: FleetPart().handlers())
