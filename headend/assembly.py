"""The parts of a head-end, put together: who commits, which links there are, who looks for what is missing."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

from headend.clock import Clock
from headend.commands.envelope import CommandSigner
from headend.commands.outgoing import Outgoing
from headend.commands.service import CommandService
from headend.drivers import CommandAnswer, DecodeError
from headend.links.direct.link import DirectLink
from headend.links.link import Link, Notices
from headend.links.modbus.link import ModbusLink
from headend.links.modbus.on_demand import OnDemand
from headend.links.modbus.outcomes import PollOutcomes
from headend.links.modbus.poller import Poller
from headend.links.reconnection import Reconnection
from headend.links.sparkplug.link import SparkplugLink
from headend.metrics import Metrics, served
from headend.outages.model import NetworkModel, read_network_model
from headend.outages.publish import publish_network
from headend.outages.watch import OutageWatch
from headend.reads.budgets import Budgets
from headend.reads.committing import Committing
from headend.reads.dead_letters import DeadLetters
from headend.reads.ingest import Ingest
from headend.reads.record import Recorder
from headend.reads.recovery import Recovery
from headend.reads.reported import ReportedRegisters
from headend.reads.resume import no_recovery, resume
from headend.reads.sweep import GapSweep
from headend.registry import EndDevice, read_shipment, refuse_doubled_transformers, register
from headend.roles import ROLES
from headend.settings import HeadEndSettings
from headend.store import writer
from headend.store.batch import Batch, StepRow
from headend.store.database import Connection, Database
from headend.store.devices import communication_states
from headend.store.register_rows import last_failures, last_readings


@dataclass(frozen=True, slots=True)
class Assembly:
    """What runs. `outages` and `sweep` are None for a role that does not follow what meters owe."""

    devices: Sequence[EndDevice]
    links: Sequence[Link]
    reconnection: Reconnection
    ingest: Ingest
    committing: Committing
    commands: CommandService
    outages: OutageWatch | None
    sweep: GapSweep | None


@dataclass(frozen=True, slots=True)
class _Known:
    """What is in the database from earlier lives, and in the shipment file."""

    devices: list[EndDevice]
    recovery: Recovery
    outages: OutageWatch
    reported: ReportedRegisters
    online: dict[int, bool]


async def assemble(
    settings: HeadEndSettings, clock: Clock, metrics: Metrics, notices: Notices, running: AsyncExitStack
) -> Assembly:
    """Everything but the connections; `running` gets what must be ended, in the order in which it must be.

    Raises what HeadEnd.start does, except of the broker.
    """
    role = ROLES[settings.role]
    signer = CommandSigner.from_file(settings.command_key)
    database = Database(settings, metrics, prepare=writer.prepare)
    known = await _known(settings, clock, database, metrics, signer.public_key(), running)
    outages = known.outages

    def committed(batch: Batch) -> None:
        if batch.interruptions:
            outages.reported(clock.now())

    committing = Committing(settings, clock, database, metrics, on_committed=committed, on_failure=notices.failed)
    budgets = Budgets()
    ingest = Ingest(settings, clock, committing, DeadLetters(settings, known.devices, budgets))
    ways: list[Link] = []
    commands = _commands(settings, clock, database, signer, known, ways, ingest, notices)
    recorder = Recorder(settings, known.devices, budgets, known.recovery, commands, outages, known.online)
    brokered = _brokered(settings, clock, known, recorder, ingest, metrics, notices, commands)
    reports = _Reports(clock, ingest, recorder, commands)
    polled = await _polled(settings, clock, known, database, metrics, committing, signer, reports, notices)
    # An ingest worker has a link to meters, too; it is another process that commands them.
    ways += [*(brokered if role.follows else ()), *polled]
    await commands.restore()
    if settings.metrics_port is not None:
        running.enter_context(served(metrics, settings.metrics_port))
    committing.start()
    # From here on upwards: who is polled falls silent, what came is committed and acknowledged, then we leave.
    running.push_async_callback(committing.stop)
    # A link hands on what waited for what does not come any more.
    running.push_async_callback(committing.drain)
    running.callback(ingest.close)
    for link in brokered:
        running.push_async_callback(link.disconnect)
    running.push_async_callback(committing.drain)
    for link in polled:
        running.push_async_callback(link.disconnect)
    links = [*brokered, *polled]
    sweep = GapSweep(known.recovery, known.devices, database, commands, metrics, sees_all=role.sees_all)
    return Assembly(
        devices=known.devices,
        links=links,
        reconnection=Reconnection(settings, clock, brokered, metrics),
        ingest=ingest,
        committing=committing,
        commands=commands,
        outages=outages if role.follows else None,
        sweep=sweep if role.follows else None,
    )


async def _known(
    settings: HeadEndSettings,
    clock: Clock,
    database: Database,
    metrics: Metrics,
    command_public_key: str,
    running: AsyncExitStack,
) -> _Known:
    shipment = read_shipment(settings.shipment, command_public_key=command_public_key)
    model = NetworkModel() if settings.network_model is None else read_network_model(settings.network_model)
    refuse_doubled_transformers(shipment, {name for name, kind in model.kinds.items() if kind == "transformer"})
    follows = ROLES[settings.role].follows
    await database.start()
    running.push_async_callback(database.stop)

    async def load(connection: Connection) -> tuple[list[EndDevice], Recovery]:
        now_s = clock.now()
        devices = await register(connection, shipment, now_s=now_s)
        if not follows:
            return devices, no_recovery(settings, devices)
        return devices, await resume(connection, settings, devices, now_s=now_s)

    devices, recovery = await database.run(load)
    outages = OutageWatch(settings, model, devices, database, metrics)
    if follows:
        if settings.network_model is not None:
            await database.run(lambda connection: publish_network(connection, model))
        await database.run(lambda connection: outages.rebuild(connection, clock.now()))
    reported = ReportedRegisters(settings, devices)
    reported.reads.restore(await database.run(last_readings))
    return _Known(devices, recovery, outages, reported, await database.run(communication_states))


def _brokered(
    settings: HeadEndSettings,
    clock: Clock,
    known: _Known,
    recorder: Recorder,
    ingest: Ingest,
    metrics: Metrics,
    notices: Notices,
    commands: CommandService,
) -> list[Link]:
    """The links that lead through the broker."""
    role, devices = ROLES[settings.role], known.devices
    links: list[Link] = []
    if role.listens:
        links.append(DirectLink(settings, devices, recorder, known.reported, ingest, notices))
    if role.follows and any(device.driver.capabilities.needs_collector for device in devices):
        links.append(
            SparkplugLink(settings, clock, devices, recorder, ingest, metrics, notices, unsent=commands.unanswered)
        )
    return links


async def _polled(
    settings: HeadEndSettings,
    clock: Clock,
    known: _Known,
    database: Database,
    metrics: Metrics,
    committing: Committing,
    signer: CommandSigner,
    reports: "_Reports",
    notices: Notices,
) -> list[Link]:
    """The links to devices that say nothing unless they are asked."""
    devices = [device for device in known.devices if device.driver.capabilities.needs_gateway]
    if not ROLES[settings.role].polls or not devices:
        return []
    outcomes = PollOutcomes(devices, metrics, known.online)
    outcomes.restore(await database.run(last_readings), await database.run(last_failures))
    poller = Poller(settings, clock, devices, outcomes, metrics, record=committing.record, on_failure=notices.failed)
    on_demand = OnDemand(clock, signer.verifier(), reports, gateway_of=poller.gateway_of, on_failure=notices.failed)
    return [ModbusLink(poller, on_demand, committing)]


def _commands(
    settings: HeadEndSettings,
    clock: Clock,
    database: Database,
    signer: CommandSigner,
    known: _Known,
    ways: Sequence[Link],
    ingest: Ingest,
    notices: Notices,
) -> CommandService:
    """`ways`: the links by which this process commands devices; filled by whoever makes them."""

    def link_to(device: EndDevice) -> Link | None:
        return next((link for link in ways if link.reaches(device)), None)

    def way_to(device: EndDevice) -> Callable[[Outgoing], None] | None:
        link = link_to(device)
        return None if link is None else link.send

    def is_away(device: EndDevice) -> bool:
        link = link_to(device)
        told = device.driver.capabilities.reports_itself and known.online.get(device.id) is False
        return told or link is None or not link.connected

    def tell(steps: Sequence[StepRow]) -> None:
        ingest.record(lambda batch: batch.command_steps.extend(steps))

    return CommandService(
        settings,
        clock,
        database,
        signer,
        known.devices,
        way_to=way_to,
        is_away=is_away,
        tell=tell,
        hurry=notices.due,
    )


class _Reports:
    """What became of commands to devices that publish nothing, on its way into the batch."""

    def __init__(self, clock: Clock, ingest: Ingest, recorder: Recorder, commands: CommandService) -> None:
        self._clock = clock
        self._ingest = ingest
        self._recorder = recorder
        self._commands = commands

    def answered(self, device: EndDevice, answer: CommandAnswer) -> None:
        with suppress(DecodeError):
            # It may have ended while the device was asked.
            self._ingest.record(lambda batch: self._recorder.command_answer(batch, device, answer, self._clock.now()))

    def refused(self, device: EndDevice, command_id: str, reason: str) -> None:
        steps = self._commands.refused(device, command_id, reason, self._clock.now())
        self._ingest.record(lambda batch: batch.command_steps.extend(steps))

    def unanswered(self, command_id: str, reason: str) -> None:
        self._commands.unanswered(command_id, reason)
