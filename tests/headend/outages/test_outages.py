"""Outages over a real broker and a real database: found, ended, counted, and found again after the head-end died."""

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from headend.clock import ManualClock
from headend.errors import NetworkModelError
from headend.outages.doubt import MOST_A_DAY
from headend.service import HeadEnd
from tests.headend.fleet import GROUP, LENGTH_S, START_S, Publisher, Shipment, event, iso, reading, serial, state
from tests.headend.networks import street
from tests.headend.reader import Reader
from tests.headend.services import Mosquitto, Postgres

pytest_plugins = ["tests.headend.fixtures"]

DOWN_S = START_S + 5 * LENGTH_S + 400
UP_S = DOWN_S + 2 * 3600
SECTION = range(4, 10)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(DOWN_S - 60)


@pytest.fixture
def shipment(tmp_path: Path) -> Shipment:
    return Shipment(tmp_path / "shipped", count=10)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    model = street().model
    document = {
        "schema": 1,
        "feeder": "street",
        "devices": [{"id": name, "kind": model.kinds[name], "parent": above} for name, above in model.parents.items()],
        "usage_points": [{"id": point, "device": device} for point, device in model.feeding.items()],
    }
    path = tmp_path / "network.json"
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
def make(
    postgres: Postgres, mosquitto: Mosquitto, schema: str, shipment: Shipment, network: Path, clock: ManualClock
) -> Callable[[], HeadEnd]:
    return lambda: HeadEnd(
        # The gaps in these meters' readings are not what is tested here.
        shipment.settings(postgres.url(), schema, mosquitto.port, network_model=network, recovery_horizon_s=1),
        clock,
    )


class Street:
    """Ten meters behind one publisher."""

    def __init__(self, port: int) -> None:
        self._link = Publisher(port, "street")

    def send(self, meter: int, kind: str, payload: bytes) -> None:
        self._link.send(f"dt/{GROUP}/{serial(meter)}/{kind}", payload)

    def publish(self, meter: int, payload: bytes) -> None:
        """An event, without waiting until the broker has it."""
        self._link.publish(f"dt/{GROUP}/{serial(meter)}/ev", payload)

    def gasp(self, meters: Iterable[int], down_s: float = DOWN_S) -> None:
        for meter in meters:
            self.send(meter, "ev", event("last_gasp", down_s + 50, 1, down_at=iso(down_s)))

    def restore(self, meters: Iterable[int], down_s: float = DOWN_S, up_s: float = UP_S) -> None:
        for meter in meters:
            self.send(meter, "ev", event("power_restore", up_s + 30, 2, down_at=iso(down_s), up_at=iso(up_s)))

    def read(self, meters: Iterable[int], end_s: int) -> None:
        for meter in meters:
            self.send(meter, "ds", reading(meter, end_s))

    def close(self) -> None:
        self._link.close()


@pytest.fixture
def meters(mosquitto: Mosquitto) -> Iterator[Street]:
    meters = Street(mosquitto.port)
    yield meters
    meters.close()


async def live(head_end: HeadEnd, clock: ManualClock, until_s: float) -> None:
    """Settle, then grant every instant that the head-end wants, up to `until_s`."""
    await head_end.settle()
    while (due_s := head_end.next_due()) is not None and due_s <= until_s:
        clock.set(max(due_s, clock.now()))
        await head_end.advance()
        await head_end.settle()
    clock.set(until_s)
    await head_end.settle()


def report(database: Reader) -> list[tuple[object, ...]]:
    return database.rows(
        "SELECT status, device, extract(epoch FROM began_at)::int8, extract(epoch FROM ended_at)::int8, customers,"
        " last_gasps, restores, inferred FROM outage_report ORDER BY began_at, device"
    )


async def test_an_outage_from_its_last_gasps_to_its_end(
    head_end: HeadEnd, meters: Street, clock: ManualClock, database: Reader
) -> None:
    clock.set(DOWN_S + 47)
    meters.gasp([4, 5, 6, 8, 9])
    await live(head_end, clock, DOWN_S + 80)
    assert report(database) == [("open", "d2", DOWN_S, None, 6, 5, 0, 1)]
    (detected,) = database.rows("SELECT extract(epoch FROM detected_at)::int8 FROM outage")
    assert DOWN_S + 50 <= int(str(detected[0])) <= DOWN_S + 80
    assert database.value("SELECT count(*) FROM reliability_indices") == 0, "what lasts is not counted yet"
    clock.set(UP_S + 25)
    meters.restore(SECTION)
    await live(head_end, clock, UP_S + 60)
    ended = [("sustained", "d2", DOWN_S, UP_S, 6, 5, 6, 0)]
    assert report(database) == ended
    (indices,) = database.rows("SELECT customers_served, saidi_min, saifi, caidi_min, maifi FROM reliability_indices")
    assert indices == (10, pytest.approx(6 * 120 / 10), pytest.approx(0.6), pytest.approx(120), pytest.approx(0))
    # Everything once more, as the broker may: nothing changes.
    revised = database.rows("SELECT id, revised_at FROM outage")
    meters.gasp([4, 5, 6, 8, 9])
    meters.restore(SECTION)
    await live(head_end, clock, UP_S + 3600)
    assert report(database) == ended
    assert database.rows("SELECT id, revised_at FROM outage") == revised


async def test_a_momentary_interruption(
    head_end: HeadEnd, meters: Street, clock: ManualClock, database: Reader
) -> None:
    for meter in range(10):
        meters.send(meter, "ev", event("momentary", DOWN_S + 40, 1, down_at=iso(DOWN_S), up_at=iso(DOWN_S + 40)))
    await live(head_end, clock, DOWN_S + 120)
    assert report(database) == [("momentary", "d0", DOWN_S, DOWN_S + 40, 10, 0, 10, 0)]
    assert database.rows("SELECT saidi_min, saifi, caidi_min, maifi FROM reliability_indices") == [(0, 0, None, 1)]


async def test_silence_is_no_outage(head_end: HeadEnd, meters: Street, clock: ManualClock, database: Reader) -> None:
    """A collector lost its uplink: wills, and no readings for hours; the section next to it reports on."""
    for meter in SECTION:
        meters.send(meter, "st", state("offline"))
    for number in range(8):
        clock.set(START_S + (6 + number) * LENGTH_S)
        meters.read(range(4), START_S + (6 + number) * LENGTH_S)
        await live(head_end, clock, clock.now() + 600)
    assert report(database) == []
    assert database.value("SELECT count(*) FROM interruption") == 0


async def test_gasps_that_nobody_heard_are_made_up_for_by_the_restores(
    head_end: HeadEnd, meters: Street, clock: ManualClock, database: Reader
) -> None:
    clock.set(UP_S + 60)
    meters.restore(SECTION)
    await live(head_end, clock, UP_S + 120)
    assert report(database) == [("sustained", "d2", DOWN_S, UP_S, 6, 0, 6, 0)]


async def test_readings_show_who_had_supply(
    head_end: HeadEnd, meters: Street, clock: ManualClock, database: Reader
) -> None:
    """Too few gasps for the section at first, then too many; its readings settle it, and the id stays."""
    clock.set(DOWN_S + 47)
    meters.gasp([4, 5, 6, 7])
    await live(head_end, clock, DOWN_S + 80)
    assert report(database) == [("open", "d2", DOWN_S, None, 6, 4, 0, 2)]
    clock.set(START_S + 7 * LENGTH_S)
    meters.read([8, 9], START_S + 6 * LENGTH_S)
    meters.read([8, 9], START_S + 7 * LENGTH_S)
    await live(head_end, clock, START_S + 7 * LENGTH_S + 300)
    assert [(row[1], row[4]) for row in report(database)] == [("d10", 1), ("d7", 1), ("d8", 1), ("d9", 1)]
    assert database.value("SELECT count(*) FROM outage") == 4


async def test_a_head_end_that_died_goes_on(
    make: Callable[[], HeadEnd], meters: Street, clock: ManualClock, database: Reader
) -> None:
    first = make()
    await first.start()
    clock.set(DOWN_S + 47)
    meters.gasp(SECTION)
    await first.settle()
    # Committed, but not looked at: it dies within the gathering time.
    await first.stop()
    assert report(database) == []
    second = make()
    await second.start()
    clock.set(DOWN_S + 300)
    assert second.next_due() == DOWN_S + 300
    await live(second, clock, DOWN_S + 301)
    assert report(database) == [("open", "d2", DOWN_S, None, 6, 6, 0, 0)]
    await second.stop()
    third = make()
    await third.start()
    clock.set(UP_S + 30)
    meters.restore(SECTION)
    await live(third, clock, UP_S + 120)
    assert report(database) == [("sustained", "d2", DOWN_S, UP_S, 6, 6, 6, 0)]
    await third.stop()


async def test_one_customer_stays_dark(head_end: HeadEnd, meters: Street, clock: ManualClock, database: Reader) -> None:
    """Nested: the section is back, one service is not. For the customer it is one interruption."""
    clock.set(DOWN_S + 47)
    meters.gasp(SECTION)
    await live(head_end, clock, DOWN_S + 80)
    clock.set(UP_S + 30)
    meters.restore(range(4, 9))
    await live(head_end, clock, UP_S + 3 * 3600)
    assert report(database) == [
        ("sustained", "d2", DOWN_S, UP_S, 6, 6, 5, 0),
        ("open", "d12", UP_S, None, 1, 1, 0, 0),
    ]
    clock.set(UP_S + 4 * 3600)
    meters.restore([9], up_s=UP_S + 4 * 3600)
    await live(head_end, clock, UP_S + 4 * 3600 + 120)
    assert report(database)[1] == ("sustained", "d12", UP_S, UP_S + 4 * 3600, 1, 1, 1, 0)
    assert database.value("SELECT count(*) FROM customer_interruption") == 6
    (saifi,) = database.rows("SELECT sum(saifi) FROM reliability_indices")
    assert saifi[0] == pytest.approx(0.6)


def test_a_network_model_with_faults_is_refused(make: Callable[[], HeadEnd], network: Path) -> None:
    network.write_text('{"schema": 1}')
    with pytest.raises(NetworkModelError, match="devices"):
        asyncio.run(make().start())


async def test_a_meter_that_invents_thousands_of_losses_speaks_for_itself_and_hides_nothing(
    head_end: HeadEnd, meters: Street, clock: ManualClock, database: Reader
) -> None:
    liar, invented = 0, 3000
    for number in range(invented):
        # Ten seconds dark in each minute of two days; each a last gasp, and its return.
        down_s = DOWN_S - 120 - 60 * (invented - number)
        meters.publish(liar, event("momentary", down_s + 10, number, down_at=iso(down_s), up_at=iso(down_s + 10)))
    await live(head_end, clock, DOWN_S + 47)
    meters.gasp([4, 5, 6, 8, 9])
    await live(head_end, clock, DOWN_S + 80)
    found = report(database)
    assert found[-1] == ("open", "d2", DOWN_S, None, 6, 5, 0, 1), "the others' outage, as if nothing had been"
    own = database.rows("SELECT DISTINCT serial FROM detected_outage WHERE dark_from < to_timestamp(%s)", DOWN_S - 3)
    assert own == [(serial(liar),)], "what it says darkens nobody else"
    believed = int(str(database.value("SELECT count(*) FROM interruption WHERE meter_id = 1")))
    assert 0 < believed <= 3 * MOST_A_DAY
    kept = int(str(database.value("SELECT count(*) FROM doubtful_interruption WHERE reason = 'too_many'")))
    counted = int(str(database.value("SELECT coalesce(sum(copies), 0) FROM dead_letter")))
    assert kept > 0
    assert believed + kept + counted == invented, "all of it is accounted for"
    indices = database.value("SELECT sum(momentary_interruptions) FROM reliability_indices")
    assert int(str(indices)) <= believed


@pytest.mark.parametrize(
    ("down_s", "up_s", "why"),
    [
        (DOWN_S + 3600, None, "ahead_of_clock"),
        (DOWN_S - 41 * 86_400, DOWN_S, "too_old"),
        (DOWN_S - 4500, DOWN_S - 3500, "overlaps"),
        (DOWN_S - 5000, DOWN_S - 3000, "contradicts"),
    ],
)
async def test_a_loss_that_cannot_be_true_is_kept_aside_with_its_reason(
    head_end: HeadEnd, meters: Street, clock: ManualClock, database: Reader, down_s: int, up_s: int | None, why: str
) -> None:
    meters.restore([0], DOWN_S - 5000, DOWN_S - 4000)
    if up_s is None:
        meters.send(0, "ev", event("last_gasp", DOWN_S - 60, 9, down_at=iso(down_s)))
    else:
        meters.send(0, "ev", event("momentary", DOWN_S - 60, 9, down_at=iso(down_s), up_at=iso(up_s)))
    await live(head_end, clock, DOWN_S + 300)
    assert database.rows("SELECT reason FROM doubtful_interruption") == [(why,)]
    assert [(row[0], row[2], row[3]) for row in report(database)] == [("sustained", DOWN_S - 5000, DOWN_S - 4000)]
    assert database.value("SELECT count(*) FROM end_device_event") == 2, "what it said is in its log all the same"


async def test_lost_phases_are_events_and_evidence_for_who_is_dark(
    head_end: HeadEnd, meters: Street, clock: ManualClock, database: Reader
) -> None:
    """Two of a section gasp; the four others live, and say that they have lost L2: the section is open in L2."""
    clock.set(DOWN_S + 47)
    for meter in (6, 7, 8, 9):
        meters.send(meter, "ev", event("phase_loss", DOWN_S + 45, 1, phase="L2", down_at=iso(DOWN_S)))
    await live(head_end, clock, DOWN_S + 48)
    assert database.value("SELECT count(*) FROM end_device_event WHERE code = 'phase_loss'") == 4
    assert database.value("SELECT count(*) FROM interruption") == 0
    assert report(database) == []
    meters.gasp([4, 5])
    await live(head_end, clock, DOWN_S + 90)
    assert report(database) == [("open", "d2", DOWN_S, None, 2, 2, 0, 0)]
    assert database.rows("SELECT DISTINCT device, phase FROM detected_outage") == [("d2", "L2")]
    meters.restore([4, 5])
    clock.set(UP_S + 35)
    await live(head_end, clock, UP_S + 80)
    assert report(database) == [("sustained", "d2", DOWN_S, UP_S, 2, 2, 2, 0)]


async def test_one_forged_lost_phase_names_nobody_elses_customers_dark(
    head_end: HeadEnd, meters: Street, clock: ManualClock, database: Reader
) -> None:
    """A service is blown; a meter next to the transformer says that it lost L2, in front of and behind the gasp."""
    clock.set(DOWN_S + 47)
    meters.send(0, "ev", event("phase_loss", DOWN_S + 45, 1, phase="L2", down_at=iso(DOWN_S)))
    meters.gasp([4])
    meters.send(0, "ev", event("phase_loss", DOWN_S + 46, 2, phase="L2", down_at=iso(DOWN_S)))
    await live(head_end, clock, DOWN_S + 90)
    assert report(database) == [("open", "d7", DOWN_S, None, 1, 1, 0, 0)]


async def test_an_event_of_no_phase_is_kept_raw_and_the_intake_goes_on(
    head_end: HeadEnd, meters: Street, clock: ManualClock, database: Reader
) -> None:
    clock.set(DOWN_S + 47)
    meters.send(6, "ev", event("phase_loss", DOWN_S + 45, 1, phase="L4", down_at=iso(DOWN_S)))
    meters.send(7, "ev", event("phase_loss", DOWN_S + 45, 1, phase="L1", down_at=iso(DOWN_S)))
    await live(head_end, clock, DOWN_S + 48)
    assert database.rows("SELECT reason FROM dead_letter") == [("bad_value",)]
    assert database.value("SELECT count(*) FROM end_device_event WHERE code = 'phase_loss'") == 1
