"""Whoever comes too often, or without saying who he is, from one address: refused there, and nobody elsewhere harmed.

All of 127.0.0.0/8 is this machine: honest devices are at 127.0.0.1, the others at 127.0.0.2.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.services.broker import DIRECTORY, BrokerProgram
from lab.services.broker_config import (
    COMPRESSED_TIME,
    AddressLimit,
    Guard,
    MosquittoPlaces,
    mosquitto_configuration,
    mosquitto_patterns,
)
from lab.services.broker_guard import build_guard
from lab.services.ports import ReservedPort
from tests import left_out
from tests.lab.services.conftest import Surroundings
from tests.lab.services.guarded import COLLECTOR, VILLAIN, GuardedBroker

ELSEWHERE = "127.0.0.2"
LIMIT = AddressLimit(
    connections=1_000,
    unknown=1_000,
    attempts_per_s=1_000,
    burst_attempts=10_000,
    failures_per_s=1_000,
    burst_failures=10_000,
)
"""Each test lowers one of them."""
SLOW = 0.001
"""What fills up so slowly does not depend on the pace of the machine."""


@pytest.fixture
def start(surroundings: Surroundings, mosquitto: BrokerProgram) -> Any:
    async def started(**lower: Any) -> GuardedBroker:
        return await GuardedBroker.start(surroundings, mosquitto, address=replace(LIMIT, **lower))

    return started


async def opened(guarded: GuardedBroker, count: int) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connections from elsewhere that say nothing, without those that are reset before we notice."""
    made = []
    for _ in range(count):
        with contextlib.suppress(ConnectionError):
            made.append(await asyncio.open_connection("127.0.0.1", guarded.broker.port, local_addr=(ELSEWHERE, 0)))
    return made


async def let_in(guarded: GuardedBroker, most: int) -> int:
    """How often a device from elsewhere comes in, one time after the other, before it is refused."""
    for count in range(most):
        try:
            await (await guarded.connect(VILLAIN, source=ELSEWHERE)).close()
        except (OSError, asyncio.IncompleteReadError):
            return count
    return most


async def ended(reader: asyncio.StreamReader) -> bool:
    """Whether the broker has hung up by now, or does within a moment."""
    try:
        async with asyncio.timeout(0.2):
            return await reader.read(1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


async def test_connections_that_never_say_who_they_are_leave_room_for_others(start: Any) -> None:
    """More of them than the broker lets in at all."""
    guarded = await start(connections=50)
    silent = await opened(guarded, 400)
    await guarded.until_logged("guard: 127.0.0.2 exceeds 50 connections")
    await guarded.serves_others()
    collector = await guarded.connect(COLLECTOR)
    assert await collector.subscribe(f"spBv1.0/g1/NCMD/{COLLECTOR}") == 1
    await guarded.refuses(guarded.showing(guarded.pem(VILLAIN)), source=ELSEWHERE)
    over = await asyncio.gather(*(ended(reader) for reader, _ in silent))
    assert over.count(False) == 50
    # Who leaves makes room.
    for _, writer in silent:
        writer.close()
    await until_let_in(guarded)


async def test_silent_connections_take_no_place_from_those_that_speak(start: Any) -> None:
    """Even from the same address, as far as it has room for both."""
    guarded = await start(unknown=50)
    known = await guarded.connect(VILLAIN, source=ELSEWHERE)
    assert await known.subscribe(f"cmd/g1/{VILLAIN}") == 1
    silent = await opened(guarded, 400)
    await guarded.until_logged("guard: 127.0.0.2 exceeds 50 connections that have said nothing")
    over = await asyncio.gather(*(ended(reader) for reader, _ in silent))
    assert over.count(False) == 50
    await guarded.serves_others()
    await guarded.connect(COLLECTOR)
    known.publish(f"dt/g1/{VILLAIN}/ds", b"still here")
    await known.all_acknowledged()
    for _, writer in silent:
        writer.close()
    await until_let_in(guarded)


async def test_clients_that_come_and_go_leave_no_trace(start: Any) -> None:
    """Known ones are forgotten with their connections: more come than may be unknown, or be there, at once."""
    guarded = await start(unknown=3, connections=5)
    for number in range(30):
        device = await guarded.connect(VILLAIN, source=ELSEWHERE)
        assert await device.subscribe(f"cmd/g1/{VILLAIN}") == 1
        if number % 2:
            device.writer.transport.abort()
        # Else the next one takes it over.
        while not await let_in(guarded, 1):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.05)
    await guarded.serves_others()


async def test_known_clients_count_too(start: Any) -> None:
    guarded = await start(connections=2)
    first, second = [await guarded.connect(name, source=ELSEWHERE) for name in (VILLAIN, COLLECTOR)]
    await guarded.refuses(guarded.showing(guarded.pem(VILLAIN)), source=ELSEWHERE)
    assert await first.subscribe(f"cmd/g1/{VILLAIN}") == 1, "the connection that stands is not touched"
    await second.close()
    await until_let_in(guarded)


async def test_attempts_are_limited_even_if_they_succeed(start: Any) -> None:
    guarded = await start(attempts_per_s=SLOW, burst_attempts=100)
    assert 100 <= await let_in(guarded, 300) < 300
    await guarded.until_logged("guard: 127.0.0.2 exceeds 0.001 connection attempts a second")
    await guarded.serves_others()
    await guarded.connect(COLLECTOR)


async def test_failed_attempts_shut_an_address_out_but_no_other(start: Any) -> None:
    guarded = await start(failures_per_s=SLOW, burst_failures=100)
    for _ in range(150):
        await guarded.refuses(guarded.showing(None), source=ELSEWHERE)
    logged = await guarded.until_logged("guard: 127.0.0.2 exceeds 0.001 failed connections a second")
    assert "refused" in logged
    for _ in range(3):
        await guarded.refuses(guarded.showing(guarded.pem(VILLAIN)), source=ELSEWHERE)
    await guarded.serves_others()
    device = await guarded.connect(VILLAIN)
    device.publish(f"dt/g1/{VILLAIN}/ds", b"from here")
    await device.all_acknowledged()


@pytest.mark.parametrize("say", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"])
async def test_what_is_no_handshake_has_failed_too(start: Any, say: bytes) -> None:
    guarded = await start(failures_per_s=SLOW, burst_failures=20)
    for _ in range(60):
        for _, writer in await opened(guarded, 1):
            writer.write(say)
            writer.close()
    await guarded.until_logged("guard: 127.0.0.2 exceeds 0.001 failed connections")
    await guarded.refuses(guarded.showing(guarded.pem(VILLAIN)), source=ELSEWHERE)
    await guarded.serves_others()


async def test_who_is_known_has_not_failed(start: Any) -> None:
    """Whether it leaves in order, is torn away, or is taken over by its own next session."""
    guarded = await start(failures_per_s=SLOW, burst_failures=20)
    for _ in range(30):
        peer = await guarded.connect(VILLAIN, source=ELSEWHERE)
        peer.writer.transport.abort()
        kept = await guarded.connect(COLLECTOR, source=ELSEWHERE)
        taken_over = await guarded.connect(COLLECTOR, source=ELSEWHERE)
        assert not await kept.read_packet()
        await taken_over.close()
    await guarded.serves_others()


async def test_an_attacker_does_not_fill_the_log(start: Any) -> None:
    guarded = await start(failures_per_s=SLOW, burst_failures=5)
    for _ in range(300):
        await guarded.refuses(guarded.showing(None), source=ELSEWHERE)
    await guarded.serves_others()
    log = guarded.surroundings.supervisor.log_path("broker").read_text()
    assert 1 <= log.count("guard: 127.0.0.2 exceeds") < 30
    assert log.count(ELSEWHERE) < 150


async def until_let_in(guarded: GuardedBroker) -> None:
    """Fails if a device is not let in from elsewhere soon: the broker sees the ends of others one after the other."""
    async with asyncio.timeout(10):
        while True:
            try:
                device = await guarded.connect(VILLAIN, source=ELSEWHERE)
            except (OSError, asyncio.IncompleteReadError):
                # Nothing tells of it.
                await asyncio.sleep(0.05)
            else:
                assert await device.subscribe(f"cmd/g1/{VILLAIN}") == 1
                return


def run_mosquitto(directory: Path, program: Any, lines: Iterable[str]) -> str:
    """What mosquitto says with these lines of its configuration and no listener, until it ends by itself or serves."""
    directory.mkdir(exist_ok=True)
    if fault := build_guard(directory / "guard.so"):
        left_out.lacking(left_out.GUARD[0], f"{left_out.GUARD[1]}: {fault}")
    (directory / "mosquitto.conf").write_text("".join(f"{line}\n" for line in lines))
    (directory / "acl").write_text(mosquitto_patterns(["headend"]))
    for path in (directory.parent, directory):
        path.chmod(0o755)
    argv = [program.path, "-c", directory / "mosquitto.conf"]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = ""
        for line in process.stderr:
            said += line
            if " running" in line:
                # mosquitto 2.0 says so before it heeds SIGTERM: one that comes at once is forgotten.
                process.kill()
    return said


def plugin_lines(directory: Path, address: AddressLimit | None) -> list[str]:
    guard = Guard(str(directory / "guard.so"), COMPRESSED_TIME, address)
    text = mosquitto_configuration(MosquittoPlaces.below(directory, 1), clients=10, guard=guard)
    return [line for line in text.splitlines() if line.startswith("plugin")]


def test_a_broker_that_cannot_limit_addresses_does_not_serve(
    surroundings: Surroundings, mosquitto: BrokerProgram
) -> None:
    """The configuration asks for it, but nobody has preloaded the guard."""
    directory: Path = surroundings.directory / DIRECTORY
    said = run_mosquitto(directory, mosquitto, plugin_lines(directory, LIMIT))
    assert "LD_PRELOAD" in said
    assert "running" not in said


def test_a_configuration_of_an_older_release_serves(surroundings: Surroundings, mosquitto: BrokerProgram) -> None:
    directory: Path = surroundings.directory / DIRECTORY
    old = [line for line in plugin_lines(directory, None) if "packet_bytes" not in line and "subscriptions" not in line]
    with ReservedPort() as reserved:
        listener = f"listener {reserved.port} {reserved.host}"
        assert "running" in run_mosquitto(directory, mosquitto, [listener, *old])
