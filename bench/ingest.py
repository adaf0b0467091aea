"""How fast the head-end takes in readings, beside what bounds it, all in one run (`python -m bench.ingest`).

(i)   the head-end: MQTT in at QoS 1, one row per message, to the commit and the acknowledgement;
(ii)  COPY and INSERT … ON CONFLICT alone: the same rows, into the same tables of another schema, nothing else;
(iii) a bare subscriber of the same client library, as its documentation has it: QoS 1, counts and forgets;
(iv)  the head-end's own link, acknowledging at once and storing nothing: what decoding and storing add to it.

The messages are with the broker before a measurement starts, put there by another process. Ratios are what counts: the
rates are those of this machine at this moment.
"""

import argparse
import asyncio
import csv
import json
import multiprocessing
import platform
import shutil
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import paho.mqtt.client as paho
import psycopg
import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.enums import CallbackAPIVersion

from bench.ingest_broker import (
    BARE,
    FILTER,
    GROUP,
    LENGTH_S,
    METERS,
    START_S,
    Broker,
    forget_session,
    open_broker,
    payload,
    prefill,
)
from headend.clock import ManualClock
from headend.commands.envelope import CommandSigner
from headend.drivers import counters_of, measures_of
from headend.drivers.rl_dsp.wire import decode_reading
from headend.links.mqtt import MqttConnection, Session
from headend.service import HeadEnd
from headend.settings import HeadEndSettings
from headend.store import writer
from headend.store.migrate import connection_info, migrate
from headend.store.writer import Batch
from lab.fleet.shipment import COLUMNS
from lab.processes.reaper import Reaper
from lab.processes.supervisor import Supervisor
from lab.services.host import make_private_directory
from lab.services.postgres import EmbeddedPostgres

AIM_COPY, AIM_SUBSCRIBER = 0.5, 0.8


class Subscriber:
    """(iii): paho on asyncio, automatic acknowledgement, a callback that counts."""

    def __init__(self, broker: Broker) -> None:
        self._loop = asyncio.get_running_loop()
        self._port = broker.port
        self._count = Countdown()
        self._subscribed = asyncio.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=BARE, clean_session=False)
        self._client.username_pw_set(broker.user.username, broker.user.password)
        self._client.on_connect = lambda client, *_: client.subscribe(FILTER, qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda *_: self._count.message()

    async def subscribe(self) -> None:
        """Leave a session with the broker that collects."""
        self._connect()
        await self._subscribed.wait()
        self._disconnect()

    async def drain(self, count: int) -> float:
        """Rate (1/s) from the first of `count` waiting messages to the last."""
        done = self._count.begin(count)
        self._connect()
        elapsed_s = await asyncio.wait_for(done, 120)
        self._disconnect()
        return count / elapsed_s

    def _connect(self) -> None:
        self._client.connect("127.0.0.1", self._port, keepalive=600)
        connected = self._client.socket()
        assert connected is not None
        self._descriptor = connected.fileno()
        self._loop.add_reader(self._descriptor, self._readable)

    def _disconnect(self) -> None:
        self._loop.remove_reader(self._descriptor)
        self._client.disconnect()

    def _readable(self) -> None:
        self._client.loop_read()
        if self._client.want_write():
            self._client.loop_write()


class Countdown:
    """The time from the first of a number of messages to the last."""

    def begin(self, count: int) -> asyncio.Future[float]:
        self._left = self._wanted = count
        self._done: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        return self._done

    def message(self) -> None:
        if self._left == self._wanted:
            self._first_s = time.perf_counter()
        self._left -= 1
        if self._left == 0:
            self._done.set_result(time.perf_counter() - self._first_s)


async def link_rate(settings: HeadEndSettings, broker: Broker, first: int, count: int) -> float:
    """(iv): messages per second through the head-end's own link, acknowledged at once, neither decoded nor stored."""
    countdown = Countdown()
    packet_ids: list[int] = []

    def message(_topic: str, _payload: bytes, packet_id: int) -> None:
        packet_ids.append(packet_id)
        countdown.message()

    def chunk() -> None:
        link.acknowledge(packet_ids)
        packet_ids.clear()

    def failed(error: Exception) -> None:
        raise error

    session = Session(settings.client_id, (FILTER,))
    link = MqttConnection(
        settings, session, on_message=message, on_chunk=chunk, on_lost=lambda: None, on_failure=failed
    )
    await link.connect()
    await link.disconnect()
    await prefill(broker, first, count)
    done = countdown.begin(count)
    await link.connect()
    elapsed_s = await asyncio.wait_for(done, 120)
    await link.disconnect()
    await asyncio.to_thread(forget_session, broker, settings.client_id)
    return count / elapsed_s


def shipment(directory: Path) -> tuple[Path, Path]:
    """A shipment file of METERS meters, and the command key."""
    key = Ed25519PrivateKey.generate()
    key_path, path = directory / "command.key", directory / "shipment.csv"
    key_path.write_bytes(key.private_bytes_raw())
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(COLUMNS)
        for number in range(METERS):
            lines.writerow(
                [f"AMI{number:08d}", "rl-dsp", f"U{number}", GROUP, "u", "p", CommandSigner(key).public_key(), ""]
            )
    return path, key_path


async def head_end_rate(settings: HeadEndSettings, broker: Broker, first: int, count: int) -> tuple[float, object]:
    """(i): rows per second from the first message received to the last commit, and receive to commit in ms."""
    clock = ManualClock(START_S + 300 * 86400)
    absent = HeadEnd(settings, clock)
    await absent.start()
    await absent.stop()
    await prefill(broker, first, count)
    head_end = HeadEnd(settings, clock)
    await head_end.start()
    await head_end.settle()
    stats = head_end.ingest_stats()
    await head_end.stop()
    await asyncio.to_thread(forget_session, broker, settings.client_id)
    if stats["rows"] != count:
        raise RuntimeError(f"{count} messages became {stats['rows']} rows")
    return count / float(str(stats["busy_s"])), stats["receive_to_commit_ms"]


async def copy_rate(info: str, first: int, count: int, batch_rows: int) -> float:
    """(ii): rows per second of the writer alone, decoded beforehand."""
    batches = []
    for start in range(first, first + count, batch_rows):
        batch = Batch()
        for number in range(start, min(start + batch_rows, first + count)):
            reading = decode_reading(payload(number))
            batch.add_reading(
                number % METERS + 1,
                reading.end_s - LENGTH_S,
                LENGTH_S,
                START_S * 10**6,
                writer.REPORTED,
                counters_of(reading),
                measures_of(reading),
            )
        batches.append(batch)
    async with await psycopg.AsyncConnection.connect(info, autocommit=True) as connection:
        await writer.prepare(connection)
        started_s = time.perf_counter()
        for batch in batches:
            async with connection.transaction():
                written = await writer.write(connection, batch, committed_s=START_S)
            if written.inserted != batch.rows:
                raise RuntimeError("rows of this round were stored already")
        return count / (time.perf_counter() - started_s)


def head_end_settings(database_url: str, broker: Broker, shipped: Path, key: Path) -> HeadEndSettings:
    """Of a head-end for the devices of `shipment`."""
    return HeadEndSettings.model_validate(
        {
            "database_url": database_url,
            "broker_port": broker.port,
            "broker_username": broker.user.username,
            "broker_password": broker.user.password,
            "group": GROUP,
            "shipment": shipped,
            "command_key": key,
            # The readings of the bench are old; nobody is there to be asked for others.
            "recovery_horizon_s": 1,
        }
    )


async def measure(rounds: int, count: int, note: Callable[[str], None]) -> dict[str, object]:
    """All four, `rounds` times after a round that is thrown away; medians."""
    logs = Path(tempfile.mkdtemp(prefix="amilab-bench-logs-"))
    rates: dict[str, list[float]] = {"head_end": [], "copy": [], "subscriber": [], "link": []}
    latencies: object = None
    with Reaper(f"bench-{uuid.uuid4().hex[:8]}") as reaper:
        work = make_private_directory(reaper)
        supervisor = Supervisor(logs, reaper)
        postgres = EmbeddedPostgres(work, supervisor)
        try:
            await postgres.start()
            async with open_broker(work, supervisor) as broker:
                shipped, key = shipment(logs)
                settings = head_end_settings(postgres.url, broker, shipped, key)
                await asyncio.to_thread(migrate, postgres.url, "bench_copy")
                info = connection_info(postgres.url, "bench_copy")
                for number in range(rounds + 1):
                    first = number * count
                    measured: dict[str, Callable[[], Awaitable[float]]] = {
                        "subscriber": lambda first=first: bare_rate(broker, first, count),  # type: ignore[misc]  # bound now
                        "link": lambda first=first: link_rate(settings, broker, first, count),  # type: ignore[misc]  # bound now
                        "copy": lambda first=first: copy_rate(info, first, count, settings.batch_max_rows),  # type: ignore[misc]  # bound now
                    }
                    result = {name: await work_of() for name, work_of in measured.items()}
                    result["head_end"], latencies = await head_end_rate(settings, broker, first, count)
                    note(f"round {number} of {rounds}: " + ", ".join(f"{n} {r:,.0f}/s" for n, r in result.items()))
                    if number:
                        for name, rate in result.items():
                            rates[name].append(rate)
                versions = {"broker": broker.version, "database": postgres.version}
        finally:
            await supervisor.stop_all()
            postgres.close()
            shutil.rmtree(logs)
    return _result(rates, latencies, versions, rounds=rounds, count=count)


async def bare_rate(broker: Broker, first: int, count: int) -> float:
    """(iii): messages per second."""
    subscriber = Subscriber(broker)
    await subscriber.subscribe()
    await prefill(broker, first, count)
    rate = await subscriber.drain(count)
    await asyncio.to_thread(forget_session, broker, BARE)
    return rate


def _result(
    rates: dict[str, list[float]], latencies: object, versions: dict[str, str], *, rounds: int, count: int
) -> dict[str, object]:
    def ratio(name: str) -> float:
        return statistics.median(ours / theirs for ours, theirs in zip(rates["head_end"], rates[name], strict=True))

    ratios = {name: ratio(name) for name in ("copy", "subscriber", "link")}
    return {
        "bench": "ingest",
        "host": {"cpu_count": multiprocessing.cpu_count(), "python": platform.python_version(), **versions},
        "rounds": rounds,
        "messages_per_round": count,
        "rows_per_s": {name: round(statistics.median(values)) for name, values in rates.items()},
        "ratio_to": {name: round(value, 3) for name, value in ratios.items()},
        "aim": {"copy": AIM_COPY, "subscriber": AIM_SUBSCRIBER},
        "met": ratios["copy"] >= AIM_COPY or ratios["subscriber"] >= AIM_SUBSCRIBER,
        "receive_to_commit_ms": latencies,
    }


_LABELS = {
    "head_end": "(i)   head-end: MQTT in to row committed",
    "copy": "(ii)  COPY + ON CONFLICT alone",
    "subscriber": "(iii) bare subscriber, paho",
    "link": "(iv)  the head-end's link alone",
}


def table(result: dict[str, object]) -> str:
    """The result for people."""
    rates, ratios = result["rows_per_s"], result["ratio_to"]
    assert isinstance(rates, dict)
    assert isinstance(ratios, dict)
    lines = [f"{'':46}{'rows/s':>10}{'(i) / this':>12}"]
    for name, label in _LABELS.items():
        share = f"{ratios[name]:.2f}" if name in ratios else ""
        lines.append(f"{label:46}{rates[name]:>10,}{share:>12}")
    lines.append(
        f"aim: (i)/(ii) >= {AIM_COPY} or (i)/(iii) >= {AIM_SUBSCRIBER}: {'met' if result['met'] else 'missed'}"
    )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Print the table and one line of JSON. 0 if the aim is met, 1 if not."""
    parser = argparse.ArgumentParser(prog="python -m bench.ingest", description="Head-end ingest beside its bounds.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=30_000, help="per round")
    options = parser.parse_args(arguments)
    result = uvloop.run(
        measure(options.rounds, options.messages, lambda line: print(line, file=sys.stderr, flush=True))
    )
    print(table(result))
    print(json.dumps(result))
    return 0 if result["met"] else 1


if __name__ == "__main__":
    sys.exit(main())
