"""Disconnects everybody's customers, not only those of its own meters."""

from collections.abc import Sequence

from lab.lockstep.link import Body
from lab.parts.fleet import Answer, FleetPart
from lab.parts.process import run_part


class SwitchingPart(FleetPart):
    """Claims the relays of all usage points of the feeder, of which it has a few meters."""

    async def settle(self, body: Body, blobs: Sequence[bytes]) -> Answer:
        settled, out = await super().settle(body, blobs)
        return {**settled, "switched": [(row, False) for row in range(1506)]}, out


if __name__ == "__main__":
    run_part("sabotage", lambda _name: SwitchingPart().handlers())
