"""A meter that tells of a lost phase, once others did, and has all of its phases."""

from collections.abc import Sequence

from lab.parts.fleet import FleetPart
from lab.parts.process import run_part
from meters.device.phases import PhaseChange
from meters.fleet.recording import Recording

log = Recording._log_phases


def forge(self: Recording, changes: Sequence[PhaseChange]) -> None:
    log(self, changes)
    if changes and changes[0].lost:
        lost = {change.row for change in changes}
        row = next(row for row in self._core.everybody.tolist() if row not in lost)
        log(self, [changes[0]._replace(row=row)])


if __name__ == "__main__":
    Recording._log_phases = forge  # type: ignore[method-assign] # that is the sabotage
    run_part("sabotage", lambda _name: FleetPart().handlers())
