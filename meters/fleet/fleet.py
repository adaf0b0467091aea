"""The meters of one process: a shard for each vendor profile, and everything that is asked of them, asked of each.

Shards have nothing to do with each other: each has its own durable memory `<stem>-<profile>.sqlite` and journal
`<stem>-<profile>.parquet`, and its own connections.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from grid.world import WorldFrame
from meters.device.flow import Flow
from meters.device.relay import Cause
from meters.errors import FleetError
from meters.fleet.compose import compose
from meters.fleet.core import ShardSetup
from meters.fleet.limits import allow_sockets
from meters.fleet.network import BrokerAddress, FleetSettled
from meters.fleet.shard import Shard
from meters.fleet.shipment import ShipmentEntry
from meters.radio.faults import NetworkFault
from meters.radio.setup import NetworkSetup
from meters.vendors.profile import VendorProfile
from meters.vendors.registry import load_profile

__all__ = ["BrokerAddress", "Fleet", "FleetSettled"]


class Fleet:
    """Meters of any vendors. Row i is `meters[i]`, whose usage point is `world_rows[i]` of the physical frames."""

    def __init__(
        self,
        *,
        meters: Sequence[ShipmentEntry],
        world_rows: Sequence[int],
        memory_path: Path,
        broker: BrokerAddress,
        seed: int,
        start_s: int,
        profiles: Mapping[str, VendorProfile] | None = None,
        primary_host: str | None = None,
        gateway_host: str | None = None,
        in_lockstep: bool = False,
        network: NetworkSetup | None = None,
    ) -> None:
        """`profiles`: what the meters' profiles are, by name, where they are not those of a vendor as it is.
        `primary_host`: host id of the Sparkplug host application that collectors wait for; None: for nobody.
        `gateway_host`: where Modbus gateways listen, by default at the host that their address names.
        `in_lockstep`: the lab sends fences behind commands.
        `network`: the communications network of these meters; None: all that is said is heard at once.

        Raises FleetError or ProfileError.
        """
        if not meters:
            raise FleetError("a fleet without meters")
        if len(world_rows) != len(meters):
            raise FleetError(f"{len(meters)} meters but {len(world_rows)} world rows")
        if network is not None and len(network.positions_m) != len(meters):
            raise FleetError(f"{len(meters)} meters but {len(network.positions_m)} positions in the network")
        if len({entry.serial for entry in meters}) != len(meters):
            raise FleetError("two meters of the fleet have the same serial")
        self._shards: list[Shard] = []
        for name in sorted({entry.vendor_profile for entry in meters}):
            profile = (profiles or {}).get(name) or load_profile(name)
            rows = [row for row, entry in enumerate(meters) if entry.vendor_profile == name]
            lengths_s = {meters[row].interval_length_s for row in rows}
            if len(lengths_s) > 1:
                raise FleetError(f"meters of the profile {name} are set to different capture periods")
            if (length_s := lengths_s.pop()) is not None:
                profile = profile.at_interval(length_s)
            setup = ShardSetup(
                profile=profile,
                entries=tuple(meters[row] for row in rows),
                world_rows=tuple(world_rows[row] for row in rows),
                memory_path=memory_path.with_name(f"{memory_path.stem}-{name}.sqlite"),
                broker=broker,
                seed=seed,
                start_s=start_s,
                primary_host=primary_host,
                gateway_host=gateway_host,
                in_lockstep=in_lockstep,
                network=None if network is None else network.of(rows),
            )
            self._shards.append(compose(setup))

    @property
    def stations(self) -> frozenset[str]:
        """Names that fences and faults may address: serials and collectors."""
        return frozenset().union(*(shard.stations for shard in self._shards))

    @property
    def refusals(self) -> int:
        """Connections and subscriptions that the broker refused, for instance for a wrong password."""
        return sum(shard.carrier.refusals for shard in self._shards)

    @property
    def losses(self) -> int:
        """Connection attempts that failed, and connections that ended without the meters' doing."""
        return sum(shard.carrier.losses for shard in self._shards)

    async def start(self) -> None:
        """Open the durable memories, or go on from them. Raises FleetError, MemoryFailedError, MemoryFullError.

        Connections are not made here but by timers within the first simulated seconds.
        """
        allow_sockets(sum(shard.carrier.sockets for shard in self._shards))
        for shard in self._shards:
            await shard.start()

    def next_due(self) -> float | None:
        """The earliest instant, in whole epoch seconds, at which any meter has something to do."""
        return min((due_s for shard in self._shards if (due_s := shard.next_due()) is not None), default=None)

    async def advance(self, now_s: int, frame: WorldFrame | None) -> None:
        """Run everything due up to `now_s` under the frame so far, then adopt `frame` and react to supply changes.

        A frame older than `now_s` (only after a restart) holds from its own time on. Raises FleetError, MemoryFullError
        or MemoryFailedError.
        """
        for shard in self._shards:
            await shard.advance(now_s, frame)

    def flow(self, flow: Flow) -> None:
        """Until the next grant time goes on like this, for whoever is asked then; without it, it stands still."""
        for shard in self._shards:
            shard.flow(flow)

    async def replay(self, now_s: int, frame: WorldFrame) -> None:
        """`advance` after a restart, when the memory may hold part of that grant, or later ones, already.

        To be called for each frame since one that all meters surely had, that one included. Raises as `advance` does.
        """
        for shard in self._shards:
            await shard.advance(max(now_s, shard.now_s), frame)

    async def settle(self) -> FleetSettled:
        """Returns when all that was sent has reached its receiver or is known to be lost, and pending connects and
        drops have concluded. `next_due` may be earlier than before: failed attempts set timers.

        Raises what went wrong while a command was carried out, for instance MemoryFullError.
        """
        settled = [await shard.settle() for shard in self._shards]
        return FleetSettled(
            sum(shard.sent for shard in settled),
            [station for shard in settled for station in shard.fresh],
            sum(shard.connected for shard in settled),
        )

    async def await_fence(self, token: str, stations: Collection[str]) -> None:
        """Returns when each of these that is connected has received the fence."""
        for shard, own in self._addressed(stations):
            await shard.carrier.await_fence(token, own)

    async def wait_disconnected(self) -> None:
        """After the broker was killed: returns when every device has noticed."""
        for shard in self._shards:
            await shard.carrier.wait_disconnected()

    def lose_uplink(self, stations: Collection[str]) -> None:
        """From now on nothing passes; connections are dropped when the broker would have missed the keep-alive."""
        for shard, own in self._addressed(stations):
            shard.carrier.lose_uplink(own)

    def restore_uplink(self, stations: Collection[str]) -> None:
        """Stations whose connection is still open go on; others try again at a moment of their back-off."""
        for shard, own in self._addressed(stations):
            shard.carrier.restore_uplink(own)

    def reboot(self, stations: Collection[str]) -> None:
        """Restart communication processors that run on supply: RAM and connection are gone at once."""
        for shard, own in self._addressed(stations):
            shard.carrier.reboot(own)

    def fail_collectors(self, names: Collection[str]) -> None:
        """The hardware of these collectors dies; what they had to say is lost, what they had kept is not."""
        for shard, own in self._addressed(names):
            shard.carrier.fail_collectors(own)

    def mend_collectors(self, names: Collection[str]) -> None:
        """Other hardware takes their place, and starts if there is supply."""
        for shard, own in self._addressed(names):
            shard.carrier.mend_collectors(own)

    def operate_relay(self, serials: Collection[str], *, closed: bool, cause: Cause = Cause.LOCAL) -> None:
        """Move the relays of these meters, with supply or without; those that are there already do nothing.

        Raises FleetError: a meter has none; MemoryFailedError, MemoryFullError.
        """
        for shard, own in self._addressed(serials):
            shard.operate_relay(own, closed=closed, cause=cause)

    def take_switched(self) -> dict[int, bool]:
        """Whether relays that have moved since the last call are closed, by row of the physical frames.

        After a restart, all of them: whoever drives the customers' breakers may not have heard of the last.
        """
        return {row: closed for shard in self._shards for row, closed in shard.take_switched().items()}

    def renew(self, stations: Collection[str]) -> None:
        """Their identities have changed: whoever is connected leaves in order, and comes back with the new one."""
        for shard, own in self._addressed(stations):
            shard.carrier.renew(own)

    def export_journal(self, directory: Path) -> None:
        """Write `<stem>-<profile>.parquet` and `<stem>-<profile>_events.parquet` for each vendor profile."""
        for shard in self._shards:
            shard.export_journal(directory)

    def disturb_network(self, fault: NetworkFault) -> None:
        """A fault of the communications network, which they follow until it is over; told again, it may end sooner."""
        for shard in self._shards:
            shard.carrier.disturb_network(fault)

    def export_deliveries(self, directory: Path) -> None:
        """Write `<stem>-<profile>.parquet` for each vendor profile that a communications network carries frames of."""
        for shard in self._shards:
            shard.carrier.export_deliveries(directory)

    async def stop(self) -> None:
        """Leave the broker in order and close the memories."""
        for shard in self._shards:
            await shard.stop()

    def _addressed(self, stations: Collection[str]) -> list[tuple[Shard, list[str]]]:
        stations_of = [shard.stations for shard in self._shards]
        known = frozenset().union(*stations_of)
        if unknown := [station for station in stations if station not in known]:
            raise FleetError(f"not in this fleet: {', '.join(unknown)}")
        parts = [
            (shard, [name for name in stations if name in own])
            for shard, own in zip(self._shards, stations_of, strict=True)
        ]
        return [(shard, own) for shard, own in parts if own]
