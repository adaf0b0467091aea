"""The head-end beside the writer that one would write first: paho, json, and psycopg's `execute` for each message.

The same messages wait with the same broker, and go into tables of the same form in the same database
(`python -m bench peer`). The plain writer commits each row before its message is acknowledged, as the head-end does its
batches: anything less would lose readings.
"""

import asyncio
import json
import shutil
import tempfile
import threading
import time
import uuid
from pathlib import Path

import paho.mqtt.client as paho
import psycopg
from paho.mqtt.enums import CallbackAPIVersion

from bench.ingest import head_end_rate, head_end_settings, shipment
from bench.ingest_broker import FILTER, LENGTH_S, Broker, forget_session, open_broker, prefill
from bench.report import Result, Spread
from headend.store.migrate import connection_info, migrate
from lab.processes.reaper import Reaper
from lab.processes.supervisor import Supervisor
from lab.services.host import make_private_directory
from lab.services.postgres import EmbeddedPostgres

SCHEMA = "bench_peer"
CLIENT = "plain-writer"
DEADLINE_S = 300.0
_COLUMNS = {
    "import_register_wh": "1.8.0", "export_register_wh": "2.8.0", "import_wh": "1.29.0", "export_wh": "2.29.0",
    "import_l1_wh": "21.29.0", "import_l2_wh": "41.29.0", "import_l3_wh": "61.29.0",
    "export_l1_wh": "22.29.0", "export_l2_wh": "42.29.0", "export_l3_wh": "62.29.0",
    "import_power_w": "1.7.0", "export_power_w": "2.7.0",
    "voltage_l1_v": "32.7.0", "voltage_l2_v": "52.7.0", "voltage_l3_v": "72.7.0", "status": "96.10.1",
}  # fmt: skip
# ruff: noqa: S608 - the statement is put together from the constants above
_INSERT = (
    "INSERT INTO interval_reading (meter_id, interval_length_s, interval_start, device_time, received_at, committed_at,"
    f" {', '.join(_COLUMNS)}, revision, quality, origin) VALUES (%s, %s, %s::timestamptz - %s * interval '1 second',"
    f" %s, now(), now(), {', '.join('%s' for _ in _COLUMNS)}, 0, 0, 0) ON CONFLICT DO NOTHING"
)


class PlainWriter:
    """One client, one connection to the database, one row at a time."""

    def __init__(self, broker: Broker, info: str) -> None:
        self._broker = broker
        self._database = psycopg.connect(info, autocommit=True)
        self._left = 0
        self._first_s = 0.0
        self._done = threading.Event()
        self._subscribed = threading.Event()
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=CLIENT, clean_session=False, manual_ack=True)
        client.username_pw_set(broker.user.username, broker.user.password)
        client.on_connect = lambda found, *_: found.subscribe(FILTER, qos=1)
        client.on_subscribe = lambda *_: self._subscribed.set()
        client.on_message = self._message
        self._client = client

    def subscribe(self) -> None:
        """Leave a session with the broker that collects."""
        self._run()
        if not self._subscribed.wait(10):
            raise RuntimeError("the broker did not answer")
        self._stop()

    def drain(self, count: int) -> float:
        """Rows per second, from the first of `count` waiting messages to the last commit."""
        self._left = count
        self._run()
        if not self._done.wait(DEADLINE_S):
            raise RuntimeError(f"{self._left} messages did not come")
        elapsed_s = time.perf_counter() - self._first_s
        self._stop()
        return count / elapsed_s

    def close(self) -> None:
        self._database.close()

    def _run(self) -> None:
        self._client.connect("127.0.0.1", self._broker.port, keepalive=600)
        self._client.loop_start()

    def _stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _message(self, client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        if not self._first_s:
            self._first_s = time.perf_counter()
        serial = message.topic.split("/")[2]
        meter = json.loads(message.payload)["meter"]
        values = [meter[code] for code in _COLUMNS.values()]
        row = [int(serial[3:]) + 1, LENGTH_S, meter["ts"], LENGTH_S, meter["ts"], *values]
        self._database.execute(_INSERT, row)
        client.ack(message.mid, message.qos)
        self._left -= 1
        if self._left == 0:
            self._done.set()


async def measure(*, rounds: int = 3, count: int = 5_000) -> Result:
    """Rounds of both after one that is thrown away."""
    ours, theirs = [], []
    logs = Path(tempfile.mkdtemp(prefix="amilab-bench-"))
    with Reaper(f"bench-{uuid.uuid4().hex[:8]}") as reaper:
        work = make_private_directory(reaper)
        supervisor = Supervisor(logs, reaper)
        postgres = EmbeddedPostgres(work, supervisor)
        try:
            await postgres.start()
            async with open_broker(work, supervisor) as broker:
                shipped, key = shipment(logs)
                settings = head_end_settings(postgres.url, broker, shipped, key)
                await asyncio.to_thread(migrate, postgres.url, SCHEMA)
                for number in range(rounds + 1):
                    plain = await plain_rate(broker, postgres.url, number * count, count)
                    rate, _ = await head_end_rate(settings, broker, number * count, count)
                    if number:
                        ours.append(rate)
                        theirs.append(plain)
        finally:
            await supervisor.stop_all()
            postgres.close()
            shutil.rmtree(logs)
    figures = {
        "head-end, rows committed": Spread.of(ours),
        "plain paho + psycopg execute, rows committed": Spread.of(theirs),
        "head-end / plain writer": Spread.of([a / b for a, b in zip(ours, theirs, strict=True)]),
    }
    units = dict.fromkeys(figures, "rows/s") | {"head-end / plain writer": ""}
    return Result(f"peer ({count:,} messages)", figures, units)


async def plain_rate(broker: Broker, url: str, first: int, count: int) -> float:
    """Rows per second of the plain writer. Raises RuntimeError if it did not store each message."""
    info = connection_info(url, SCHEMA)
    writer = PlainWriter(broker, info)
    try:
        await asyncio.to_thread(writer.subscribe)
        await prefill(broker, first, count)
        with psycopg.connect(info) as connection:
            before = _rows(connection)
        rate = await asyncio.to_thread(writer.drain, count)
        with psycopg.connect(info) as connection:
            stored = _rows(connection) - before
        if stored != count:
            raise RuntimeError(f"{count} messages became {stored} rows")
    finally:
        writer.close()
    await asyncio.to_thread(forget_session, broker, CLIENT)
    return rate


def _rows(connection: psycopg.Connection[tuple[object, ...]]) -> int:
    row = connection.execute("SELECT count(*) FROM interval_reading").fetchone()
    return int(str(row[0])) if row else 0
