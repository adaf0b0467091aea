"""What certificates and the guard cost the broker, beside passwords without TLS (`python -m bench broker`).

The same mosquitto three times, with its disk: by passwords, by certificates, by certificates with the guard.
*Intake*: meters publish at QoS 1 in batches over standing connections, to the last acknowledgement. *Connects*: TCP,
TLS where there is, CONNECT to CONNACK, one after the other. What counts is the broker's time on the processor: with its
clients on the same machine, the time on the wall is mostly theirs.
"""

import asyncio
import ssl
import struct
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.report import Result, Spread
from lab.errors import UserError
from lab.keys.keyring import Keyring
from lab.processes.reaper import Reaper
from lab.processes.supervisor import Supervisor
from lab.services.broker import BrokerProgram, Certificates, EmbeddedBroker, find_broker, keyring_below
from lab.services.broker_config import BrokerUser, RateLimit, device_user
from lab.services.host import make_private_directory
from lab.services.mqtt_probe import connect_packet

GROUP = "bench"
PAYLOAD = b"x" * 300
BATCH = 200
ENDLESS = RateLimit(10**9, 10**9, 10**12, 10**12)
PLAIN, TLS, GUARDED = "passwords", "certificates", "certificates and guard"


@dataclass(frozen=True, slots=True)
class _Served:
    port: int
    pid: int
    users: list[BrokerUser]
    tls: dict[str, ssl.SSLContext | None]

    def busy_s(self) -> float:
        """The broker's time on the processor so far: it has one thread (proc(5) counts in ticks of 10 ms elsewhere)."""
        return int(Path(f"/proc/{self.pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9

    async def connect(self, user: BrokerUser) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.tls[user.username])
        writer.write(connect_packet(user.username, user.username, user.password))
        if (await reader.readexactly(4))[3] != 0:
            raise RuntimeError(f"{user.username} is not let in")
        return reader, writer


async def measure(rounds: int = 5, meters: int = 20, batches: int = 40, connects: int = 200) -> Result:
    """Raises UserError where mosquitto or what the guard is compiled with is missing."""
    program = find_broker("mosquitto")
    intake: dict[str, list[float]] = {PLAIN: [], TLS: [], GUARDED: []}
    joined: dict[str, list[float]] = {PLAIN: [], TLS: [], GUARDED: []}
    for number in range(rounds + 1):
        for kind in intake:
            async with _serve(kind, meters, program) as served:
                cost = await _intake(served, batches), await _connects(served, connects)
            # The first round warms caches.
            if number:
                intake[kind].append(cost[0])
                joined[kind].append(cost[1])
    figures: dict[str, Spread] = {}
    units: dict[str, str] = {}
    for name, found, unit in (("intake", intake, "µs/message"), ("connects", joined, "ms/connection")):
        for kind, values in found.items():
            figures[f"{name}, {kind}"], units[f"{name}, {kind}"] = Spread.of(values), unit
        for kind, base in ((TLS, PLAIN), (GUARDED, TLS)):
            ratio = f"{name}, {kind} to {base}"
            figures[ratio] = Spread.of([a / b for a, b in zip(found[kind], found[base], strict=True)])
            units[ratio] = ""
    return Result("broker", figures, units)


async def _intake(served: _Served, batches: int) -> float:
    connections = [await served.connect(user) for user in served.users]
    packets = [_batch(user) for user in served.users]

    async def publish(number: int) -> None:
        reader, writer = connections[number]
        for _ in range(batches):
            writer.write(packets[number])
            await reader.readexactly(4 * BATCH)

    began_s = served.busy_s()
    await asyncio.gather(*(publish(number) for number in range(len(connections))))
    took_s = served.busy_s() - began_s
    for _, writer in connections:
        writer.close()
    return took_s / (len(connections) * batches * BATCH) * 1e6


async def _connects(served: _Served, count: int) -> float:
    began_s = served.busy_s()
    for number in range(count):
        _, writer = await served.connect(served.users[number % len(served.users)])
        writer.close()
    return (served.busy_s() - began_s) / count * 1e3


def _batch(user: BrokerUser) -> bytes:
    topic = user.may_publish[0].replace("#", "ds").encode()
    packets = []
    for identifier in range(1, BATCH + 1):
        body = struct.pack(">H", len(topic)) + topic + struct.pack(">H", identifier) + PAYLOAD
        packets.append(b"\x32" + bytes([len(body) & 0x7F | 0x80, len(body) >> 7]) + body)
    return b"".join(packets)


@asynccontextmanager
async def _serve(kind: str, meters: int, program: BrokerProgram) -> AsyncIterator[_Served]:
    users = [device_user(GROUP, f"AMI{number:08}", f"AMI{number:08}", "secret") for number in range(meters)]
    with Reaper(f"bench-{uuid.uuid4().hex[:8]}") as reaper:
        work = make_private_directory(reaper)
        supervisor = Supervisor(work / "logs", reaper)
        rate = ENDLESS if kind == GUARDED else None
        certificates = None if kind == PLAIN else Certificates(keyring_below(work), meters, rate=rate)
        broker = EmbeddedBroker(work, supervisor, users, program, certificates=certificates)
        try:
            await broker.start()
            if broker.unguarded is not None:
                raise UserError(broker.unguarded)
            keyring = broker.keyring
            if keyring is not None:
                keyring.issue([user.username for user in users], [])
            contexts = {user.username: None if keyring is None else _context(keyring, user.username) for user in users}
            yield _Served(broker.port, supervisor.pid("broker"), users, contexts)
        finally:
            await supervisor.stop_all()
            broker.close()


def _context(keyring: Keyring, name: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=keyring.places.trust)
    context.load_cert_chain(keyring.places.devices / f"{name}.pem")
    return context
