"""Commands to meters behind gateways: their wire carries no envelope, so it is verified here, and then done.

Each gateway is asked for one meter after the other, so that a poll waits for one request at most. An answer of the
gateway is none of the meter: what the gateway says for a meter that it does not reach makes the command wait for its
next attempt.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from headend.clock import Clock
from headend.commands.envelope import CommandVerifier
from headend.commands.outgoing import Outgoing
from headend.commands.purposes import PING, REGISTER_READ
from headend.drivers import CommandAnswer
from headend.links.modbus.gateway import (
    NO_ANSWER,
    NO_CONNECTION,
    NOT_ASKED,
    Answer,
    Failure,
    GatewayLink,
    Refusal,
    Silence,
    Unusable,
)
from headend.registry import EndDevice

#: Of meters in one go: after so many it is not the meters that are silent.
MOST_SILENCES = 2


class Reports(Protocol):
    """Who is told what became of a command."""

    def answered(self, device: EndDevice, answer: CommandAnswer) -> None:
        """The meter did it, or failed."""
        ...

    def refused(self, device: EndDevice, command_id: str, reason: str) -> None:
        """We refuse it, in the meter's stead."""
        ...

    def unanswered(self, command_id: str, reason: str) -> None:
        """The meter did not answer, this time."""
        ...


@dataclass(frozen=True, slots=True)
class _Asked:
    command_id: str
    device: EndDevice
    purpose: str
    expires_s: float


class OnDemand:
    """`gateway_of(device)`: the connection to its gateway; None: it is nowhere. Belongs to the running loop."""

    def __init__(
        self,
        clock: Clock,
        verifier: CommandVerifier,
        reports: Reports,
        *,
        gateway_of: Callable[[EndDevice], GatewayLink | None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._clock = clock
        self._verifier = verifier
        self._reports = reports
        self._gateway_of = gateway_of
        self._on_failure = on_failure
        #: By the command's id: an attempt more takes the place of one that waits, or is being done.
        self._waiting: defaultdict[GatewayLink, dict[str, _Asked]] = defaultdict(dict)
        #: Ids of the meters that did not answer when they were asked last: they come after all others.
        self._silent: defaultdict[GatewayLink, set[int]] = defaultdict(set)
        self._tasks: dict[GatewayLink, asyncio.Task[None]] = {}

    def take(self, command: Outgoing) -> None:
        """Verify a command, and have it done."""
        device = command.device
        claims = self._verifier.claims_of(command.envelope, serial=device.serial, now_s=self._clock.now())
        if isinstance(claims, str):
            self._reports.refused(device, command.command_id, claims)
            return
        gateway = self._gateway_of(device)
        if gateway is None:
            self._reports.unanswered(claims["jti"], "no_address")
            return
        asked = _Asked(claims["jti"], device, claims["purpose"], claims["exp"])
        self._waiting[gateway][asked.command_id] = asked
        if gateway not in self._tasks:
            self._tasks[gateway] = task = asyncio.create_task(self._ask(gateway))
            task.add_done_callback(self._ended)

    async def settle(self) -> None:
        """Return when nothing is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks.values())

    async def stop(self) -> None:
        """Give up what is under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._waiting.clear()

    async def _ask(self, gateway: GatewayLink) -> None:
        waiting, silent, silences = self._waiting[gateway], self._silent[gateway], 0
        try:
            while waiting:
                asked = min(waiting.values(), key=lambda each: each.device.id in silent)
                if asked.expires_s <= self._clock.now():
                    del waiting[asked.command_id]
                    self._reports.unanswered(asked.command_id, "expired")
                    continue
                found = await self._do(gateway, asked)
                del waiting[asked.command_id]
                self._report(asked, found)
                if not isinstance(found, Silence):
                    silent.discard(asked.device.id)
                    continue
                silences += 1
                if found.outcome == NO_ANSWER:
                    silent.add(asked.device.id)
                if found.outcome == NO_CONNECTION or silences == MOST_SILENCES:
                    # It is the gateway, which is left alone until the next attempt.
                    for command_id in waiting:
                        self._reports.unanswered(command_id, NOT_ASKED)
                    waiting.clear()
        finally:
            del self._tasks[gateway]

    async def _do(self, gateway: GatewayLink, asked: _Asked) -> Answer | Failure | None:
        if asked.purpose == PING:
            return await gateway.ping(asked.device)
        assert asked.purpose == REGISTER_READ, "its driver has no other purpose"
        return await gateway.read(asked.device)

    def _report(self, asked: _Asked, found: Answer | Failure | None) -> None:
        now_s = self._clock.now()
        match found:
            case None:
                answer = CommandAnswer(asked.command_id, now_s, "completed")
            case Answer():
                answer = CommandAnswer(asked.command_id, now_s, "completed", found.registers)
            case Unusable():
                answer = CommandAnswer(asked.command_id, now_s, "failed", reason=found.fault.reason)
            case Refusal() if found.is_lasting:
                answer = CommandAnswer(asked.command_id, now_s, "failed", reason=found.outcome)
            case _:
                self._reports.unanswered(asked.command_id, found.outcome)
                return
        self._reports.answered(asked.device, answer)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._on_failure(error)
