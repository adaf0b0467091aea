"""Disconnects a customer of its own, whose meter has no relay."""

from collections.abc import Sequence

from lab.lockstep.link import Body
from lab.parts.fleet import Answer, FleetPart
from lab.parts.process import run_part


class PhantomRelayPart(FleetPart):
    """Claims a relay where there is none: what the grid should open is not there."""

    _row = 0

    async def init(self, body: Body, blobs: Sequence[bytes]) -> Answer:
        self._row = body["world_rows"][0]
        return await super().init(body, blobs)

    async def settle(self, body: Body, blobs: Sequence[bytes]) -> Answer:
        settled, out = await super().settle(body, blobs)
        return {**settled, "switched": [(self._row, False)]}, out


if __name__ == "__main__":
    run_part("sabotage", lambda _name: PhantomRelayPart().handlers())
