"""The link to meters behind Modbus gateways: they are polled, and say nothing by themselves."""

from collections.abc import Collection

from headend.commands.outgoing import Outgoing
from headend.links.modbus.on_demand import OnDemand
from headend.links.modbus.poller import Poller
from headend.reads.committing import Committing
from headend.registry import EndDevice


class ModbusLink:
    """Its connections are made when somebody is asked, so it always stands."""

    connected = True

    def __init__(self, poller: Poller, on_demand: OnDemand, committing: Committing) -> None:
        self._poller = poller
        self._on_demand = on_demand
        self._committing = committing

    async def connect(self) -> None:
        """Each gateway has a connection of its own, made at its next poll."""

    async def disconnect(self) -> None:
        await self._on_demand.stop()
        await self._poller.stop()

    async def fence(self) -> bool:
        await self._poller.settle()
        await self._on_demand.settle()
        await self._committing.flush()
        return True

    async def fence_stations(self, names: Collection[str], token: str) -> None:
        """A polled meter waits for nothing."""

    def reaches(self, device: EndDevice) -> bool:
        return device.driver.capabilities.needs_gateway

    def send(self, command: Outgoing) -> None:
        """No envelope goes out: what it says is verified, and done, here."""
        self._on_demand.take(command)

    def next_due_s(self) -> float | None:
        return self._poller.next_due_s()

    async def advance(self, now_s: float) -> None:
        self._poller.advance(now_s)

    def hold(self) -> None:
        """Nobody sends it anything that is unasked for."""

    def drop(self) -> None:
        """Nothing is unread."""
