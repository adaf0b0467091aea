"""Modbus polls a second: the head-end's poller, storing, beside a bare pymodbus loop (`python -m bench modbus`).

Both ask the same gateways of `meters`, which live in another process: each gateway by one connection, all side by side.
"""

import asyncio
import csv
import multiprocessing
import shutil
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pymodbus.client import AsyncModbusTcpClient

from bench.report import Result, Spread
from grid.world import QUADRANTS, WorldFrame
from headend.clock import ManualClock
from headend.commands.envelope import CommandSigner
from headend.drivers import CommandAnswer
from headend.links.modbus.link import ModbusLink
from headend.links.modbus.on_demand import OnDemand
from headend.links.modbus.outcomes import PollOutcomes
from headend.links.modbus.poller import Poller
from headend.metrics import Metrics
from headend.reads.committing import Committing
from headend.registry import EndDevice, read_shipment, register
from headend.settings import HeadEndSettings
from headend.store.database import Database
from headend.store.writer import prepare
from lab.fleet.shipment import COLUMNS
from lab.processes.reaper import Reaper
from lab.processes.supervisor import Supervisor
from lab.services.host import make_private_directory
from lab.services.ports import ReservedPort
from lab.services.postgres import EmbeddedPostgres
from meters.fleet.fleet import BrokerAddress, Fleet
from meters.fleet.shipment import read_shipment as read_meters

START_S = 1_768_435_200
STEP_S = 900
REGISTERS = 80
UNITS = 31


def serve(shipment: Path, memory: Path, ready: Connection) -> None:
    """The gateways, until the other end of `ready` is closed."""

    async def run() -> None:
        entries = read_meters(shipment)
        count = len(entries)
        fleet = Fleet(
            meters=entries,
            world_rows=range(count),
            memory_path=memory,
            broker=BrokerAddress("127.0.0.1", 1),
            seed=7,
            start_s=START_S,
        )
        await fleet.start()
        still = np.zeros((count, 3))
        frame = WorldFrame(
            sequence=0,
            time_s=START_S,
            phase_energised=np.ones((count, 3), dtype=bool),
            import_wh=still,
            export_wh=still,
            reactive_varh=np.zeros((QUADRANTS, count, 3)),
            active_power_w=still + 400.0,
            reactive_power_var=still,
            voltage_v=still + 230.0,
            voltage_angle_rad=still,
            breaker_closed=np.ones(count, dtype=bool),
        )
        await fleet.advance(START_S, frame)
        ready.send("serving")
        await asyncio.to_thread(_until_closed, ready)
        await fleet.stop()

    asyncio.run(run())


def _until_closed(ready: Connection) -> None:
    try:
        ready.recv()
    except EOFError:
        # The other side has gone, which is what is waited for.
        return


async def bare_loop(places: Sequence[tuple[str, int]]) -> float:
    """Polls a second of clients that only read."""
    clients = [AsyncModbusTcpClient(host, port=port) for host, port in places]
    await asyncio.gather(*(client.connect() for client in clients))

    async def line(client: AsyncModbusTcpClient) -> None:
        for unit in range(1, UNITS + 1):
            response = await client.read_input_registers(0, count=REGISTERS, device_id=unit)
            assert not response.isError()

    began = time.perf_counter()
    await asyncio.gather(*(line(client) for client in clients))
    rate = len(clients) * UNITS / (time.perf_counter() - began)
    for client in clients:
        client.close()
    return rate


async def measure(*, rounds: int = 5, gateways: int = 10, boundaries: int = 4) -> Result:
    """Rounds of the poller at `boundaries` boundaries, then the bare loop as often."""
    ours, theirs = [], []
    async with _gateways(gateways) as stand, _polling(stand) as poll:
        for number in range(rounds + 1):
            began = time.perf_counter()
            for boundary in range(boundaries):
                await poll(START_S + (number * boundaries + boundary) * STEP_S)
            rate = boundaries * gateways * UNITS / (time.perf_counter() - began)
            bare = [await bare_loop(stand.places) for _ in range(boundaries)]
            # The first round makes connections and fills caches.
            if number:
                ours.append(rate)
                theirs.append(len(bare) / sum(1 / each for each in bare))
    return Result(
        f"modbus ({gateways} gateways of {UNITS} meters)",
        {
            "head-end's poller, registers and intervals committed": Spread.of(ours),
            "bare pymodbus loop": Spread.of(theirs),
            "poller / bare loop": Spread.of([a / b for a, b in zip(ours, theirs, strict=True)]),
        },
        {
            "head-end's poller, registers and intervals committed": "polls/s",
            "bare pymodbus loop": "polls/s",
            "poller / bare loop": "",
        },
    )


@dataclass(frozen=True, slots=True)
class _Stand:
    """Gateways that serve, and an empty database."""

    places: list[tuple[str, int]]
    shipment: Path
    command_key: Path
    database_url: str


@asynccontextmanager
async def _gateways(count: int) -> AsyncIterator[_Stand]:
    logs = Path(tempfile.mkdtemp(prefix="amilab-bench-"))
    with ExitStack() as stack, Reaper(f"bench-{uuid.uuid4().hex[:8]}") as reaper:
        ports = [stack.enter_context(ReservedPort()) for _ in range(count)]
        places = [(port.host, port.port) for port in ports]
        shipment = write_shipment(logs, places)
        here, there = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=serve, args=(shipment, logs / "fleet-0.sqlite", there), daemon=True
        )
        process.start()
        there.close()
        supervisor = Supervisor(logs, reaper)
        postgres = EmbeddedPostgres(make_private_directory(reaper), supervisor)
        try:
            await postgres.start()
            await asyncio.to_thread(here.recv)
            yield _Stand(places, shipment, logs / "command.key", postgres.url)
        finally:
            here.close()
            await asyncio.to_thread(process.join, 10)
            await supervisor.stop_all()
            postgres.close()
            shutil.rmtree(logs)


class Unasked:
    """Nobody commands these meters."""

    def answered(self, device: EndDevice, answer: CommandAnswer) -> None:
        raise AssertionError(f"{device.serial}: {answer}")

    def refused(self, device: EndDevice, command_id: str, reason: str) -> None:
        raise AssertionError(f"{device.serial}: {command_id}: {reason}")

    def unanswered(self, command_id: str, reason: str) -> None:
        raise AssertionError(f"{command_id}: {reason}")


@asynccontextmanager
async def _polling(stand: _Stand) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """The head-end's own poller: what polls everybody at an instant [epoch s], and returns when all is committed."""
    clock = ManualClock(START_S)
    settings = HeadEndSettings.model_validate(
        {
            "database_url": stand.database_url,
            "group": "bench",
            "shipment": stand.shipment,
            "command_key": stand.command_key,
        }
    )
    metrics = Metrics()
    database = Database(settings, metrics, prepare=prepare)
    await database.start()
    entries = read_shipment(stand.shipment)
    devices = await database.run(lambda connection: register(connection, entries, now_s=START_S))
    faults: list[Exception] = []
    committing = Committing(
        settings, clock, database, metrics, on_committed=lambda _batch: None, on_failure=faults.append
    )
    committing.start()
    outcomes = PollOutcomes(devices, metrics, {})
    poller = Poller(settings, clock, devices, outcomes, metrics, record=committing.record, on_failure=faults.append)
    on_demand = OnDemand(
        clock,
        CommandSigner.from_file(stand.command_key).verifier(),
        Unasked(),
        gateway_of=poller.gateway_of,
        on_failure=faults.append,
    )
    link = ModbusLink(poller, on_demand, committing)

    async def poll(now_s: int) -> None:
        clock.set(now_s)
        await link.advance(now_s)
        await link.fence()
        if faults:
            raise faults[0]

    yield poll
    await link.disconnect()
    await committing.stop()
    await database.stop()


def write_shipment(directory: Path, places: Sequence[tuple[str, int]]) -> Path:
    """A meter at each unit of each gateway."""
    key = Ed25519PrivateKey.generate()
    (directory / "command.key").write_bytes(key.private_bytes_raw())
    path = directory / "shipment.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(COLUMNS)
        for number, (host, port) in enumerate(places):
            for unit in range(1, UNITS + 1):
                serial = f"AMI{number * UNITS + unit:08d}"
                lines.writerow((serial, "sdm630", f"UP{serial}", "bench", "", "", "A" * 43, f"{host}:{port}/{unit}"))
    return path
