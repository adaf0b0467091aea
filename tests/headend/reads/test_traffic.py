"""What carriers bring is counted by the hour: over a real broker, and written before the head-end leaves."""

from collections.abc import Callable

from headend.clock import ManualClock
from headend.reads.traffic import SLOT_S, Traffic
from headend.service import HeadEnd
from headend.store.batch import Batch
from tests.headend.fleet import GROUP, LENGTH_S, START_S, Publisher, Shipment, reading
from tests.headend.links import test_sparkplug as sparkplug
from tests.headend.reader import Reader
from tests.headend.sparkplug_edge import EdgeNode
from tests.meters.meter_broker import Broker, on_both_brokers

pytest_plugins = ["tests.headend.fixtures"]
clock, shipment, make, edge = sparkplug.clock, sparkplug.shipment, sparkplug.make, sparkplug.edge
TRAFFIC = "SELECT extract(epoch FROM hour)::int8, carrier, messages, bytes FROM traffic ORDER BY carrier"


def test_slots_are_handed_on_when_they_are_over_and_by_hours() -> None:
    traffic, batch = Traffic(), Batch()
    for now_s in (0.0, 10.0, SLOT_S + 1.0):
        traffic.count(batch, "C1", 100, now_s)
    assert batch.traffic == {("C1", 0): (2, 200)}
    traffic.count(batch, "C1", 50, 3600.0)
    assert batch.traffic == {("C1", 0): (3, 300)}
    traffic.count(batch, "", 7, 3601.0)
    traffic.flush(batch)
    assert batch.traffic == {("C1", 0): (3, 300), ("C1", 1): (1, 50), ("", 1): (1, 7)}
    traffic.flush(batch)
    assert batch.traffic["C1", 1] == (1, 50)


@on_both_brokers
async def test_what_collectors_and_meters_bring_is_in_the_database_once_the_head_end_is_gone(
    make: Callable[..., HeadEnd],
    edge: EdgeNode,
    broker: Broker,
    clock: ManualClock,
    shipment: Shipment,
    database: Reader,
) -> None:
    head_end = make()
    await head_end.start()
    edge.birth(sparkplug.MESH)
    letter, told = b"no reading", reading(2, START_S + LENGTH_S)
    direct = Publisher(broker.port, "direct")
    for payload in (told, letter):
        direct.send(f"dt/{GROUP}/{sparkplug.DIRECT}/ds", payload)
    direct.close()
    await head_end.settle()
    assert database.rows(TRAFFIC) == []
    await head_end.stop()
    hour_s = START_S // 3600 * 3600
    own, (at_s, carrier, messages, size_bytes) = database.rows(TRAFFIC)
    # A letter that is dead, and a fence of our own, are none of it.
    assert own == (hour_s, "", 1, len(told))
    assert (at_s, carrier, messages) == (hour_s, sparkplug.EDGE, 2)
    assert size_bytes > 100
    # The next life adds to the same hour.
    again = make()
    await again.start()
    direct = Publisher(broker.port, "direct-again")
    direct.send(f"dt/{GROUP}/{sparkplug.DIRECT}/ds", told)
    direct.close()
    await again.settle()
    await again.stop()
    assert database.rows(TRAFFIC)[0] == (hour_s, "", 2, 2 * len(told))
