"""Another distribution's driver that does what it may not: that costs its own messages, and nobody else's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headend.clock import ManualClock
from headend.drivers import catalogue
from headend.service import HeadEnd
from tests.headend.fleet import GROUP, LENGTH_S, START_S, Publisher, Shipment, reading, serial
from tests.headend.reader import Reader
from tests.headend.services import Mosquitto, Postgres
from tests.headend.sparkplug_edge import EdgeNode

pytest_plugins = ["tests.headend.fixtures"]

FAULTY, COLLECTED, GOOD = 0, 1, 2
EDGE = "COL0001"
END_S = START_S + LENGTH_S
DRIVERS = """
from headend.drivers import Capabilities, CommandAnswer, DeviceReport, DeviceState, Driver, MqttTopic

def lacks(payload):
    return {}["there is no such key"]

def nothing(payload):
    return None

def unlisted(payload):
    return {"import_wh": 1}

def mixed(payload):
    return [DeviceState(True, None, None), None]

def nested(payload):
    return [[DeviceState(True, None, None)]]

SAYS = {"lacks": lacks, "nothing": nothing, "unlisted": unlisted, "mixed": mixed, "nested": nested}

def report(values, length_s, *, birth):
    if birth:
        return DeviceReport(length_s, [], None, None, [], None)
    return {
        "Interval/Length": lambda: {}["there is no such key"],
        "Event/Code": lambda: None,
        "Event/Detail": lambda: DeviceReport(length_s, [], "event", None, [], None),
        "Answer/Command": lambda: DeviceReport(length_s, [], None, "answer", [], None),
    }[values[0].name]()

def driver(name, carrier, **how):
    can = Capabilities(carrier=carrier, reports_itself=True, keeps_load_profile=False, reports_outages=False)
    return Driver(name, can, 900, 900, **how)

DIRECT = driver("faulty-direct", "mqtt", mqtt={name: MqttTopic(decode) for name, decode in SAYS.items()})
COLLECTED = driver("faulty-collected", "sparkplug", sparkplug=report)
"""


@pytest.fixture(autouse=True)
def with_faulty_drivers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    home = tmp_path / "site"
    information = home / "faulty-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(
        "[amilab.drivers]\nfaulty-direct = faulty_drivers:DIRECT\nfaulty-collected = faulty_drivers:COLLECTED\n"
    )
    (home / "faulty_drivers.py").write_text(DRIVERS)
    monkeypatch.syspath_prepend(home)
    catalogue._drivers.cache_clear()
    yield
    catalogue._drivers.cache_clear()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(END_S + 60)


@pytest.fixture
def make(
    postgres: Postgres, mosquitto: Mosquitto, schema: str, shipment: Shipment, clock: ManualClock
) -> Callable[[], HeadEnd]:
    lines = shipment.path.read_text().splitlines()
    lines[1 + FAULTY] = lines[1 + FAULTY].replace("rl-dsp", "faulty-direct")
    lines[1 + COLLECTED] = lines[1 + COLLECTED].replace("rl-dsp", "faulty-collected") + EDGE
    shipment.path.write_text("\n".join(lines) + "\n")
    settings = shipment.settings(postgres.url(), schema, mosquitto.port, sparkplug_host_id="utility")
    return lambda: HeadEnd(settings, clock)


async def the_next_meter_is_stored(head_end: HeadEnd, mosquitto: Mosquitto, database: Reader) -> None:
    good = Publisher(mosquitto.port, "good")
    good.send(f"dt/{GROUP}/{serial(GOOD)}/ds", reading(GOOD, END_S))
    good.close()
    assert (await head_end.settle()).connected
    assert database.value("SELECT count(*) FROM stored_reading") == 1
    assert database.rows("SELECT reason FROM dead_letter") == [("driver_failed",)]


@pytest.mark.parametrize("topic", ["lacks", "nothing", "unlisted", "mixed", "nested"])
async def test_a_decoder_at_fault_costs_its_message_alone(
    head_end: HeadEnd, mosquitto: Mosquitto, database: Reader, topic: str
) -> None:
    faulty = Publisher(mosquitto.port, "faulty")
    faulty.send(f"dt/{GROUP}/{serial(FAULTY)}/{topic}", b"anything")
    faulty.close()
    await the_next_meter_is_stored(head_end, mosquitto, database)
    assert database.value("SELECT count(*) FROM communication_history") == 0, "none of the records is taken"


@pytest.mark.parametrize("metric", ["Interval/Length", "Event/Code", "Event/Detail", "Answer/Command"])
async def test_a_decoder_at_fault_behind_a_collector_costs_its_message_alone(
    head_end: HeadEnd, mosquitto: Mosquitto, database: Reader, metric: str
) -> None:
    edge = EdgeNode(mosquitto.port, EDGE, host="utility")
    edge.birth(serial(COLLECTED))
    edge.data(serial(COLLECTED), [edge.m(serial(COLLECTED), metric, None, END_S)])
    await the_next_meter_is_stored(head_end, mosquitto, database)
    edge.close()
