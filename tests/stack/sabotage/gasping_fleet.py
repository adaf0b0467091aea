"""Meters that take a lost phase for the loss of their supply: they gasp, and their processors die with it."""

from lab.parts.fleet import FleetPart
from lab.parts.process import run_part
from meters.device.physics import Physics
from meters.fleet.shard import Shard

adopt = Shard._adopt


def panic(self: Shard, physics: Physics) -> None:
    lit = physics.frame.phase_energised
    seen = getattr(self, "seen", lit) | lit
    self.seen = seen  # type: ignore[attr-defined] # what a meter had once
    lit[(seen & ~lit).any(axis=1)] = False
    adopt(self, physics)


if __name__ == "__main__":
    Shard._adopt = panic  # type: ignore[method-assign] # that is the sabotage
    run_part("sabotage", lambda _name: FleetPart().handlers())
