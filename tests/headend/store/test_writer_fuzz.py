"""Whatever a device sends, and whatever might get past a driver one day: the others' rows are stored and acknowledged.

On a real broker and a real PostgreSQL.
"""

import asyncio
import json
import threading
import uuid
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from headend.clock import ManualClock
from headend.drivers import READING_COUNTERS, READING_MEASURES, Registers
from headend.drivers.obis import DEMAND_AT, MEASURES
from headend.drivers.records import ON_DEMAND_CHANNELS
from headend.metrics import Metrics
from headend.ratios import Ratios
from headend.service import HeadEnd
from headend.store import writer
from headend.store.batch import Batch
from headend.store.commit import commit
from headend.store.database import Database
from headend.store.register_records import (
    AcceptedRow,
    BoundaryReading,
    DerivedInterval,
    DerivedRow,
    OnDemandRow,
    PollFailureRow,
    RegisterRow,
)
from tests.headend.fleet import (
    COLUMNS,
    GROUP,
    LENGTH_S,
    START_S,
    Publisher,
    Shipment,
    event,
    iso,
    reading,
    serial,
    state,
)
from tests.headend.reader import Reader
from tests.headend.services import Mosquitto, Postgres
from tests.headend.sparkplug_edge import BOOLEAN, DEVICE, FLOAT, STRING, M, payload

pytest_plugins = ["tests.headend.fixtures"]

ROGUE, GOOD, BEHIND = 0, 1, 2
EDGE = "COL0001"
SCHEMA = "fuzzed"
T = TypeVar("T")

# Without shrinking: each example is a transaction, and what the head-end logs of a failing one says enough.
slow = settings(
    max_examples=60,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


class Running:
    """A head-end on a loop of its own, and two who publish: hypothesis calls plain functions."""

    def __init__(self, head_end: HeadEnd, clock: ManualClock, broker_port: int, reader: Reader) -> None:
        self.head_end, self.clock, self.reader = head_end, clock, reader
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.run(head_end.start())
        self.rogue = Publisher(broker_port, serial(ROGUE))
        self.good = Publisher(broker_port, serial(GOOD))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def close(self) -> None:
        self.rogue.close()
        self.good.close()
        self.run(self.head_end.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self.reader.close()


@pytest.fixture(scope="module")
def shipment(tmp_path_factory: pytest.TempPathFactory) -> Shipment:
    shipment = Shipment(tmp_path_factory.mktemp("fuzz"))
    lines = shipment.path.read_text().splitlines()
    lines[1 + BEHIND] = lines[1 + BEHIND].replace("rl-dsp", "sparkplug-plc") + EDGE
    shipment.path.write_text("\n".join(lines) + "\n")
    return shipment


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path_factory.mktemp("fuzz-broker"))
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture(scope="module")
def running(postgres: Postgres, broker: Mosquitto, shipment: Shipment) -> Iterator[Running]:
    clock = ManualClock(START_S + 60)
    head_end = HeadEnd(shipment.settings(postgres.url(), SCHEMA, broker.port, sparkplug_host_id="utility"), clock)
    running = Running(head_end, clock, broker.port, Reader(postgres.url(), SCHEMA))
    yield running
    running.close()


texts = st.text(st.characters() | st.just("\x00") | st.characters(categories=["Cs"]), max_size=20)
numbers = (
    st.integers(-(10**30), 10**30)
    | st.sampled_from([2**15, 2**31, 2**53, 2**63 - 1, 2**63, -(2**63)])
    | st.integers(0, 5000)
    | st.floats(allow_nan=True, allow_infinity=True)
)


def mostly(good: st.SearchStrategy[Any], bad: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """So that some messages get past the drivers, and reach the database with what is odd in them."""
    return st.integers(0, 9).flatmap(lambda n: bad if n == 0 else good)


close_times = st.sampled_from([iso(START_S + n * LENGTH_S) for n in range(4)])
times = mostly(
    close_times,
    st.sampled_from(
        [
            "0001-01-01T00:00:00+00:00",
            "9999-12-31T23:59:59-12:00",
            "1999-12-31T23:45:00+00:00",
            "",
            "2026-01-15T00:07:01Z",
        ]
    ),
)
values = numbers | texts | st.none() | st.booleans() | times
nested = st.recursive(values, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))
counts = mostly(st.integers(0, 5000), mostly(st.integers(0, 10**15), numbers))
names = mostly(st.text("äöß漢字.:0123456789", min_size=1, max_size=20), texts)
meters = st.builds(
    lambda counters, voltages, others: {"1.29.0": 7} | counters | voltages | others,
    st.dictionaries(
        st.sampled_from([code for code in COLUMNS if code not in (*MEASURES, DEMAND_AT)]), counts, max_size=20
    ),
    st.dictionaries(
        st.sampled_from(MEASURES), mostly(st.floats(0, 300), mostly(st.floats(0, 1e6), numbers)), max_size=2
    ),
    st.dictionaries(names, mostly(st.floats(-1e300, 1e300), values), max_size=2)
    | st.fixed_dictionaries({DEMAND_AT: mostly(times, values)}),
)
details = st.one_of(
    st.fixed_dictionaries({"down_at": times, "up_at": times}),
    st.fixed_dictionaries({"command": texts, "reason": texts}),
    st.dictionaries(texts, nested, max_size=3),
)
events = st.fixed_dictionaries(
    {
        "ts": times,
        "seq": mostly(st.integers(0, 2**63 - 1), numbers),
        "code": st.sampled_from(["last_gasp", "power_restore", "momentary", "command_refused"]) | names,
        "detail": details,
    }
)
profiles = st.fixed_dictionaries(
    {
        "command": texts | st.uuids().map(str),
        "ts": times,
        "from": times,
        "to": times,
        "part": st.integers(1, 3),
        "parts": numbers | st.just(3),
        "interval_s": st.sampled_from([900, 1, 60, 86_400]) | numbers,
        "columns": st.just(["1.29.0"]) | st.lists(texts, max_size=3),
        "rows": st.lists(st.tuples(times, numbers).map(list), max_size=5),
    }
)


def said(leaf: str, key: str, body: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, bytes]]:
    return body.map(lambda found: (f"dt/{GROUP}/{serial(ROGUE)}/{leaf}", json.dumps({key: found}).encode()))


direct = st.one_of(
    said("ds", "meter", st.builds(lambda ts, found: {"ts": ts} | found, times, meters)),
    said("ev", "event", events),
    said("st", "state", st.fixed_dictionaries({"value": st.sampled_from(["online", "offline"]), "boot": numbers})),
    said("lp", "profile", profiles),
    said("ds", "meter", nested),
    st.tuples(
        st.sampled_from([f"dt/{GROUP}/{serial(ROGUE)}/{leaf}" for leaf in ("ds", "ev", "st", "lp")]), st.binary()
    ),
    st.tuples(texts.map(lambda text: f"dt/{GROUP}/" + "".join(c for c in text if c.isprintable() and c not in "+#")),
              st.binary(max_size=50)),
)  # fmt: skip

metric_values = {
    STRING: st.text(max_size=20) | st.text(max_size=5).map(lambda text: json.dumps({text: text})),
    FLOAT: st.floats(width=32),
    BOOLEAN: st.booleans(),
}
metrics = st.sampled_from([*DEVICE, ("bdSeq", 8), ("Power/Mains", BOOLEAN), ("Properties/Meters", 7)]).flatmap(
    lambda told: st.builds(
        M,
        st.just(told[1]),
        metric_values.get(told[1], st.integers(-(2**63), 2**64 - 1)),
        st.just(told[0]) | st.text(max_size=200),
        st.none() | st.integers(0, 2**64 - 1) | st.integers(0, 40),
        st.none() | st.integers(0, 2**64 - 1) | st.just((START_S + LENGTH_S) * 1000),
    )
)
collected = st.builds(
    lambda kind, device, found, seq: (
        f"spBv1.0/{GROUP}/{kind}/{EDGE}" + (f"/{device}" if kind.startswith("D") else ""),
        payload(found, seq=seq),
    ),
    st.sampled_from(["NBIRTH", "NDATA", "NDEATH", "DBIRTH", "DDATA", "DDEATH"]),
    st.sampled_from([serial(BEHIND), serial(GOOD), "nobody"]),
    st.lists(metrics, max_size=8),
    st.none() | st.integers(0, 3) | st.integers(0, 2**64 - 1),
)


# What is drawn reaches nearly every table, and with these each of them: the first reading is one that no meter can have
# made.
usual = [
    (f"dt/{GROUP}/{serial(ROGUE)}/ds", reading(ROGUE, START_S + LENGTH_S, **{"1.29.0": 40_000_000})),
    (f"dt/{GROUP}/{serial(ROGUE)}/ds", reading(ROGUE, START_S + LENGTH_S, **{"9.9.9": 1.5})),
    (f"dt/{GROUP}/{serial(ROGUE)}/st", state("online", START_S)),
    (f"dt/{GROUP}/{serial(ROGUE)}/ev", event("cover_opened", START_S, 1)),
]


@slow
@example(messages=usual)
@given(messages=st.lists(direct | collected, min_size=1, max_size=12))
def send_made_up(running: Running, messages: list[tuple[str, bytes]]) -> None:
    start_s = int(running.clock.now()) // LENGTH_S * LENGTH_S
    running.clock.set(start_s + LENGTH_S + 60)
    for topic, message in messages:
        running.rogue.publish(topic, message)
    running.rogue.publish(f"dt/{GROUP}/{serial(ROGUE)}/ds", b"the last").wait_for_publish(20)
    running.good.send(f"dt/{GROUP}/{serial(GOOD)}/ds", reading(GOOD, start_s + LENGTH_S))
    settled = running.run(running.head_end.settle())
    assert settled.connected
    stored = running.reader.rows(
        "SELECT quality FROM stored_reading WHERE serial = %s AND interval_start = to_timestamp(%s)",
        serial(GOOD),
        start_s,
    )
    assert stored == [("actual",)]
    # Nothing that got past the drivers was too much for the database.
    assert running.reader.value("SELECT count(*) FROM dead_letter WHERE reason = 'refused_by_database'") == 0
    assert running.reader.value("SELECT coalesce(max(import_wh), 0) FROM stored_reading") <= 17_250 * 1.6


def test_no_message_keeps_anothers_reading_from_being_stored(running: Running) -> None:
    send_made_up(running)
    # Messages that reached no table would have shown nothing.
    for relation in ("end_device_event", "other_reading", "dead_letter", "implausible_reading", "device_state"):
        assert running.reader.value(f"SELECT count(*) FROM {relation}"), relation


ids = st.sampled_from([1, 3, 99, 0, -1, 2**31, 2**70])
instants = st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from([float(START_S), 1e300, -1e300, 1e15])
whole = st.integers(-(2**70), 2**70) | st.integers(0, 100)
documents = nested.map(json.dumps) | texts
registers = st.builds(Registers, whole, whole, whole, st.tuples(instants, instants, instants))
boundaries = st.builds(BoundaryReading, whole, instants, registers)
# What drivers have bounded, for it goes into flat arrays.
kept, seconds = st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**32).map(float)
shown = st.builds(
    Registers,
    kept,
    kept,
    kept,
    st.tuples(instants, instants, instants),
    st.dictionaries(st.sampled_from(ON_DEMAND_CHANNELS), kept, max_size=3),
)
ratios = st.builds(Ratios, st.floats(1, 10_000), st.floats(1, 10_000))
derivations = st.builds(DerivedInterval, kept, kept, kept, st.booleans())
batches = st.builds(
    Batch,
    implausible=st.lists(st.tuples(ids, instants, whole, texts, documents, whole, instants), max_size=3),
    others=st.lists(st.tuples(ids, instants, whole, texts, st.floats(), instants), max_size=3),
    events=st.lists(st.tuples(ids, whole, texts, instants, documents, instants), max_size=3),
    states=st.dictionaries(
        ids, st.tuples(ids, st.booleans(), st.none() | whole, st.none() | instants, instants), max_size=2
    ),
    communications=st.dictionaries(st.tuples(ids, instants), st.booleans(), max_size=2),
    collectors=st.dictionaries(
        st.tuples(texts, texts),
        st.tuples(st.booleans(), st.none() | whole, st.none() | whole, st.none() | instants, instants),
        max_size=2,
    ),
    collector_supplies=st.dictionaries(st.tuples(texts, texts), st.tuples(st.booleans(), instants), max_size=2),
    dead_letters=st.lists(st.tuples(st.uuids(), instants, texts, st.binary(), texts, texts), max_size=2),
    interruptions=st.lists(
        st.tuples(ids, instants, st.none() | instants, st.none() | instants, st.none() | instants), max_size=2
    ),
    registers=st.lists(st.builds(RegisterRow, ids, boundaries, st.none() | texts), max_size=2),
    accepted=st.lists(st.builds(AcceptedRow, ids, whole), max_size=2),
    derived=st.lists(st.builds(DerivedRow, kept, kept, seconds, derivations, st.none() | shown, ratios), max_size=2),
    poll_failures=st.lists(st.builds(PollFailureRow, ids, whole, texts, st.none() | whole, instants), max_size=2),
    gaps=st.lists(st.tuples(ids, instants, whole, st.just("no_record") | texts, texts, instants), max_size=2),
    command_steps=st.lists(
        st.tuples(
            st.uuids().map(str) | texts, whole, st.just("completed") | texts, instants, st.none() | texts,
            st.none() | texts, st.none() | instants,
        ),
        max_size=2,
    ),
    on_demand=st.lists(
        st.builds(OnDemandRow, st.uuids().map(str) | texts, ids, instants, shown, st.none() | texts, instants),
        max_size=2,
    ),
)  # fmt: skip


@slow
@given(batch=batches, energies=st.lists(st.integers(-(2**63) + 1, 2**63 - 1), max_size=4))
def test_what_gets_past_a_driver_costs_its_own_rows_alone(
    running: Running, shipment: Shipment, postgres: Postgres, batch: Batch, energies: list[int]
) -> None:
    mark = uuid.uuid4().hex
    with psycopg.connect(postgres.url(), autocommit=True, options=f"-csearch_path={SCHEMA}") as connection:
        connection.execute("TRUNCATE interval_reading")
    batch.events.insert(len(batch.events) // 2, (2, 1, mark, float(START_S), "{}", float(START_S)))
    batch.others.append((2, float(START_S), 900, mark, 1.0, float(START_S)))
    batch.derived.append(DerivedRow(2, 900, float(START_S), DerivedInterval(START_S + 900, 7, 0, True), None))
    honest = {name: {"import_register_wh": 1, "import_wh": 5}.get(name, 0) for name in READING_COUNTERS}
    volts = dict.fromkeys(READING_MEASURES, 230.0)
    too_wide = ("status", "reactive_q4_varh", "active_power_l2_w", "max_demand_at_s")
    for number, energy in enumerate(energies):
        hostile = honest | {"import_wh": energy, too_wide[number % len(too_wide)]: 2**60 if number % 2 else 0}
        measured = volts | {"voltage_l2_v": float("nan"), "voltage_l3_v": 1e308, "current_l1_a": 1e308}
        batch.add_reading(
            1, START_S + number, number, START_S * 10**6, 0, tuple(hostile.values()), tuple(measured.values())
        )
    columns = tuple(honest.values()), tuple(volts.values())
    batch.add_reading(2, START_S, 900, START_S * 10**6, writer.REPORTED, *columns)

    async def work() -> None:
        made = shipment.settings(postgres.url(), SCHEMA, 1)
        database = Database(made, Metrics(), prepare=writer.prepare)
        await database.start()
        try:
            await commit(database, batch, ManualClock(START_S))
        finally:
            await database.stop()

    running.run(work())
    rows = running.reader.rows
    ours = "meter_id = 2 AND interval_start IN (to_timestamp(%s), to_timestamp(%s))"
    found = rows(f"SELECT import_wh, quality FROM interval_reading WHERE {ours} ORDER BY 1", START_S, START_S + 900)
    assert found == [(5, 0), (7, 1)]
    assert rows("SELECT meter_id FROM end_device_event WHERE code = %s", mark) == [(2,)]
    assert rows("SELECT meter_id FROM other_reading WHERE reading_type = %s", mark) == [(2,)]
