"""A shard of the meter fleet as a part."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

from grid.world import WorldFrame
from lab.errors import SPACE_HINT, UserError
from lab.lockstep.link import Body, Handler, NotBegun
from lab.parts.process import run_part
from meters.carriers.tls import TlsFiles
from meters.device.flow import Flow
from meters.errors import FleetError, MemoryFailedError, MemoryFullError, ProfileError, ShipmentError
from meters.fleet.fleet import BrokerAddress, Fleet
from meters.fleet.shipment import read_shipment
from meters.radio.faults import NetworkFault
from meters.radio.setup import NetworkSetup
from meters.vendors.profile import VendorProfile
from meters.vendors.registry import profile_of

Answer = tuple[Body, Sequence[bytes]]


class FleetPart:
    """Handlers of the link; a disk that is full comes back as a fault for the user, not as a crash."""

    def __init__(self) -> None:
        self._fleet: Fleet | None = None

    def handlers(self) -> dict[str, Handler]:
        served: dict[str, Handler] = {
            "init": self.init,
            "advance": self.advance,
            "flow": self.flow,
            "replay": self.replay,
            "settle": self.settle,
            "switched": self.switched,
            "await_fence": self.await_fence,
            "disturb": self.disturb,
            "wait_disconnected": self.wait_disconnected,
            "finish": self.finish,
            "stop": self.stop,
        }
        return {name: _telling(handler) for name, handler in served.items()}

    @property
    def fleet(self) -> Fleet:
        if self._fleet is None:
            raise NotBegun
        return self._fleet

    async def init(self, body: Body, _blobs: Sequence[bytes]) -> Answer:
        try:
            entries = read_shipment(Path(body["shipment"]))
            self._fleet = Fleet(
                meters=[entries[index] for index in body["entries"]],
                world_rows=body["world_rows"],
                memory_path=Path(body["memory"]),
                broker=BrokerAddress(body["broker_host"], body["broker_port"], _tls(body)),
                seed=body["seed"],
                start_s=body["start_s"],
                profiles=_profiles(body["profiles"]),
                primary_host=body["primary_host"],
                gateway_host=body.get("gateway_host"),
                in_lockstep=body["in_lockstep"],
                network=NetworkSetup.model_validate(body["network"]) if "network" in body else None,
            )
            await self._fleet.start()
        except (FleetError, ProfileError, ShipmentError) as error:
            # What the lab has looked at already may be another in this process, for instance in another image.
            raise UserError([str(error)]) from error
        return {"stations": sorted(self._fleet.stations)}, ()

    async def advance(self, body: Body, blobs: Sequence[bytes]) -> Answer:
        await self.fleet.advance(body["now_s"], WorldFrame.from_bytes(blobs[0]) if blobs else None)
        return {"next_due_s": self.fleet.next_due()}, ()

    async def flow(self, body: Body, _blobs: Sequence[bytes]) -> Answer:
        self.fleet.flow(Flow(body["from_s"], body["wall_s"], body["speed"], body["until_s"]))
        return {}, ()

    async def replay(self, body: Body, blobs: Sequence[bytes]) -> Answer:
        """What a fleet was told while nobody was there, once more to whoever has taken its memory over."""
        await self.fleet.replay(body["now_s"], WorldFrame.from_bytes(blobs[0]))
        return {}, ()

    async def settle(self, _body: Body, _blobs: Sequence[bytes]) -> Answer:
        settled = await self.fleet.settle()
        return {
            "sent": settled.sent,
            "fresh": list(settled.fresh),
            "connected": settled.connected,
            "next_due_s": self.fleet.next_due(),
            "switched": list(self.fleet.take_switched().items()),
        }, ()

    async def switched(self, _body: Body, _blobs: Sequence[bytes]) -> Answer:
        return {"switched": list(self.fleet.take_switched().items())}, ()

    async def await_fence(self, body: Body, _blobs: Sequence[bytes]) -> Answer:
        await self.fleet.await_fence(body["token"], body["stations"])
        return {}, ()

    async def disturb(self, body: Body, _blobs: Sequence[bytes]) -> Answer:
        """Scenario events that act on meters: uplinks, reboots, relays on site, their network; and ``renew``."""
        if body["action"] == "disturb_network":
            self.fleet.disturb_network(NetworkFault.model_validate(body["fault"]))
            return {}, ()
        act: dict[str, Callable[[Collection[str]], None]] = {
            "lose_uplink": self.fleet.lose_uplink,
            "restore_uplink": self.fleet.restore_uplink,
            "reboot": self.fleet.reboot,
            "fail_collectors": self.fleet.fail_collectors,
            "mend_collectors": self.fleet.mend_collectors,
            "renew": self.fleet.renew,
            "open_relay": partial(self.fleet.operate_relay, closed=False),
            "close_relay": partial(self.fleet.operate_relay, closed=True),
        }
        act[body["action"]](body["stations"])
        return {}, ()

    async def wait_disconnected(self, _body: Body, _blobs: Sequence[bytes]) -> Answer:
        await self.fleet.wait_disconnected()
        return {}, ()

    async def finish(self, body: Body, _blobs: Sequence[bytes]) -> Answer:
        self.fleet.export_journal(Path(body["directory"]))
        if "deliveries" in body:
            self.fleet.export_deliveries(Path(body["deliveries"]))
        return {}, ()

    async def stop(self, _body: Body, _blobs: Sequence[bytes]) -> Answer:
        if self._fleet is not None:
            await self._fleet.stop()
        return {}, ()


def _profiles(texts: Sequence[str]) -> dict[str, VendorProfile]:
    """Of files of the user's own, by name. The lab has read them already."""
    profiles = (profile_of(text, origin="a profile of this run") for text in texts)
    return {profile.name: profile for profile in profiles}


def _tls(body: Body) -> TlsFiles | None:
    ca, identities = body["broker_ca"], body["identities"]
    return None if ca is None else TlsFiles(Path(ca), Path(identities))


def _telling(handler: Handler) -> Handler:
    """A memory that fails may show in any call: a command that comes in is written down, too."""

    async def told(body: Body, blobs: Sequence[bytes]) -> Answer:
        try:
            return await handler(body, blobs)
        except MemoryFailedError as error:
            raise UserError([str(error)], SPACE_HINT if isinstance(error, MemoryFullError) else None) from error

    return told


if __name__ == "__main__":
    run_part("A shard of virtual meters.", lambda _name: FleetPart().handlers())
