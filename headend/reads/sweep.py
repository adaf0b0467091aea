"""The sweep for gaps: what is missing is asked for, and what nobody answered is given up."""

from collections.abc import Sequence

from headend.commands.lifecycle import State
from headend.commands.purposes import LOAD_PROFILE_READ, Params
from headend.commands.service import RECOVERY, CommandService
from headend.log import logger
from headend.metrics import Metrics
from headend.reads.recovery import Ask, Recovery
from headend.reads.settled import settle_what_is_stored
from headend.registry import EndDevice
from headend.store.database import Database


class GapSweep:
    """`sees_all`: every reading that is stored passes through this process; else it looks for what others stored."""

    def __init__(
        self,
        recovery: Recovery,
        devices: Sequence[EndDevice],
        database: Database,
        commands: CommandService,
        metrics: Metrics,
        *,
        sees_all: bool,
    ) -> None:
        self._recovery = recovery
        self._devices = devices
        self._database = database
        self._commands = commands
        self._metrics = metrics
        self._sees_all = sees_all

    def next_due_s(self, now_s: float) -> float | None:
        """The next instant at which `advance` has something to do; it may be the present one."""
        return self._recovery.next_due_s(now_s)

    def reconnected(self, now_s: float) -> None:
        """Our own connection was lost, and stands again."""
        self._recovery.reconnected(now_s)

    async def advance(self, now_s: float) -> None:
        """Sweep, if a sweep is due."""
        due_s = self._recovery.next_due_s(now_s)
        if due_s is None or due_s > now_s:
            return
        expired = self._recovery.expired(now_s)
        self._commands.ended([(command_id, State.EXPIRED, reason) for command_id, reason in expired], now_s)
        if not self._sees_all:
            for meter in await settle_what_is_stored(self._database, self._recovery.schedule, self._devices, now_s):
                self._recovery.heard(meter, now_s)
        asks = self._recovery.plan(now_s)
        if not asks:
            return
        issued = await self._commands.ask(
            LOAD_PROFILE_READ,
            [self._request(ask) for ask in asks],
            by=RECOVERY,
            now_s=now_s,
        )
        for ask, command in zip(asks, issued, strict=True):
            self._recovery.issued(command.command_id, ask, command.expires_s)
        self._metrics.recovery_requests.inc(len(issued))
        logger().info("asked for missing intervals", meters=len(issued))

    def _request(self, ask: Ask) -> tuple[EndDevice, Params, int]:
        params = {"from": ask.from_s, "to": ask.to_s}
        return self._devices[ask.meter], params, self._recovery.paces[ask.meter].expiry_s
