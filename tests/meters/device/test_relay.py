"""The relay of a meter: kept before it acts, told until it was heard, and independent of the supply."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meters.device.relay import Relays
from meters.device.state import METER_STATE
from meters.errors import FleetError, MemoryFailedError
from meters.fleet.fleet import Fleet
from tests.meters.fleet.test_polled import entries as polled_entries
from tests.meters.meter_broker import Broker
from tests.meters.meter_yard import START_S, Ear, World, grant, make_fleet, shipment, uneven_power_w

COUNT = 5
A, B, C = (f"AMI{number:08d}" for number in (1, 2, 3))


@given(st.lists(st.tuples(st.sets(st.integers(0, 5), min_size=1), st.booleans(), st.booleans()), max_size=12))
def test_whatever_is_done_the_last_position_is_told_once(moves: list[tuple[set[int], bool, bool]]) -> None:
    relays = Relays(np.zeros(6, dtype=METER_STATE), resumed=False)
    expected, heard = dict.fromkeys(range(6), True), dict.fromkeys(range(6), True)
    for rows, closed, listen in moves:
        moved = relays.put(np.array(sorted(rows)), closed=closed)
        assert set(moved.tolist()) == {row for row in rows if expected[row] is not closed}
        relays.act(moved)
        expected.update(dict.fromkeys(rows, closed))
        if listen:
            heard.update(relays.take())
            assert heard == expected
            assert relays.take() == {}
    heard.update(relays.take())
    assert heard == expected


@pytest.fixture
async def fleet(tmp_path: Path, broker: Broker) -> AsyncIterator[Fleet]:
    made = make_fleet(shipment(COUNT, "t1"), broker.port, tmp_path / "shard.db")
    await made.start()
    yield made
    await made.stop()


def journal(fleet: Fleet, directory: Path, what: str = "") -> list[dict[str, Any]]:
    fleet.export_journal(directory / "journal")
    rows: list[dict[str, Any]] = pq.read_table(directory / "journal" / f"shard-rl-dsp{what}.parquet").to_pylist()
    return rows


async def test_a_disconnected_customers_meter_goes_on_and_records_nothing(
    fleet: Fleet, ear: Ear, tmp_path: Path
) -> None:
    world = World(uneven_power_w(COUNT))
    await grant(fleet, START_S + 300, {START_S: world.frame(START_S)})
    assert fleet.take_switched() == {}
    fleet.operate_relay([A, B], closed=False)
    assert fleet.take_switched() == {0: False, 1: False}
    frames = {START_S + 300: world.frame(START_S + 300, b0=False, b1=False)}
    frames |= {time_s: world.frame(time_s) for time_s in (START_S + 900, START_S + 1800)}
    await grant(fleet, START_S + 2000, frames)
    fleet.operate_relay([A], closed=True)
    frames = {START_S + 2000: world.frame(START_S + 2000, b0=True)}
    await grant(fleet, START_S + 3605, {**frames, START_S + 2700: world.frame(START_S + 2700)})
    await ear.caught_up()
    rows = journal(fleet, tmp_path)
    starts = [(row["interval_start"].timestamp() - START_S) // 900 for row in rows]
    energy_wh = {(row["serial"], start): row["import_wh"] for row, start in zip(rows, starts, strict=True)}
    assert {key[1] for key in energy_wh if key[0] == A} == {0, 1, 2, 3}, "it recorded each interval"
    assert energy_wh[A, 0] > 0 == energy_wh[A, 1]
    assert energy_wh[A, 2] > 0
    assert energy_wh[B, 0] > 0 == energy_wh[B, 1] == energy_wh[B, 2] == energy_wh[B, 3]
    assert energy_wh[C, 1] > 0
    voltages = [row["voltage_l1_v"] for row in rows if row["serial"] == B]
    assert min(voltages) > 200, "it is before the relay that a meter has its voltage"
    told = [(row["serial"], row["code"], row["true_time_s"] - START_S) for row in journal(fleet, tmp_path, "_events")]
    assert told == [(A, "relay_opened", 300), (A, "relay_closed", 2000), (B, "relay_opened", 300)]
    assert ear.events(A) == ["relay_opened", "relay_closed"]
    assert ear.of("ev", A)[0]["event"]["detail"] == {"cause": "local"}
    assert len(ear.of("ds", B)) == 4, "it reported each interval"


async def test_a_relay_that_is_there_already_does_nothing(fleet: Fleet, tmp_path: Path) -> None:
    await grant(fleet, START_S + 60, {START_S: World(uneven_power_w(COUNT)).frame(START_S)})
    fleet.operate_relay([A], closed=True)
    assert fleet.take_switched() == {}
    fleet.operate_relay([A, A], closed=False)
    fleet.operate_relay([A], closed=False)
    assert fleet.take_switched() == {0: False}
    assert [row["code"] for row in journal(fleet, tmp_path, "_events")] == ["relay_opened"]


async def test_a_relay_moves_in_the_dark_and_the_meter_says_so_when_it_can(fleet: Fleet, ear: Ear) -> None:
    """It is bistable, and moved by hand: nobody waits for supply."""
    world = World(uneven_power_w(COUNT))
    frames = {START_S: world.frame(START_S), START_S + 100: world.frame(START_S + 100, m0=False)}
    await grant(fleet, START_S + 600, frames)
    fleet.operate_relay([A], closed=False)
    assert fleet.take_switched() == {0: False}
    frames = {START_S + 600: world.frame(START_S + 600, b0=False)}
    await grant(fleet, START_S + 900, {**frames, START_S + 700: world.frame(START_S + 700, m0=True)})
    await ear.caught_up()
    assert ear.events(A) == ["last_gasp", "relay_opened", "power_restore"]


async def test_an_outage_takes_a_disconnected_customers_meter_like_the_others(fleet: Fleet, ear: Ear) -> None:
    world = World(uneven_power_w(COUNT))
    await grant(fleet, START_S + 60, {START_S: world.frame(START_S)})
    fleet.operate_relay([A], closed=False)
    frames = {START_S + 60: world.frame(START_S + 60, b0=False)}
    frames |= {START_S + 100: world.frame(START_S + 100, m0=False, m1=False)}
    await grant(fleet, START_S + 400, {**frames, START_S + 300: world.frame(START_S + 300, m0=True, m1=True)})
    await ear.caught_up()
    assert ear.events(A) == ["relay_opened", "last_gasp", "power_restore"]
    assert ear.events(B) == ["last_gasp", "power_restore"]


async def test_what_a_killed_process_kept_is_told_by_the_next(tmp_path: Path, broker: Broker, ear: Ear) -> None:
    """It dies after the relay has moved and before anybody has asked: nobody was told."""
    world = World(uneven_power_w(COUNT))
    first = make_fleet(shipment(COUNT, "t1"), broker.port, tmp_path / "shard.db")
    await first.start()
    frame = world.frame(START_S)
    await grant(first, START_S + 60, {START_S: frame})
    first.operate_relay([A], closed=False)
    await first.stop()
    second = make_fleet(shipment(COUNT, "t1"), broker.port, tmp_path / "shard.db")
    await second.start()
    await second.replay(START_S, frame)
    assert second.take_switched() == {0: False, 1: True, 2: True, 3: True, 4: True}
    assert second.take_switched() == {}
    second.operate_relay([A], closed=False)
    assert second.take_switched() == {}, "it remembers where it is"
    await grant(second, START_S + 200, {START_S + 120: world.frame(START_S + 120, b0=False)})
    await ear.caught_up()
    assert [row["code"] for row in journal(second, tmp_path, "_events")] == ["relay_opened"]
    assert set(ear.events(A)) == {"relay_opened"}
    await second.stop()


async def test_what_cannot_be_kept_does_not_act(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    await grant(fleet, START_S + 60, {START_S: World(uneven_power_w(COUNT)).frame(START_S)})

    def full(*_: object, **__: object) -> None:
        raise MemoryFailedError("no space left")

    with monkeypatch.context() as broken:
        broken.setattr("meters.device.memory.Memory.commit", full)
        with pytest.raises(MemoryFailedError, match="no space left"):
            fleet.operate_relay([A], closed=False)
    assert fleet.take_switched() == {}


async def test_a_meter_without_a_relay_refuses_by_name(tmp_path: Path, broker: Broker, unused_tcp_port: int) -> None:
    polled = polled_entries(unused_tcp_port, 3)[2]
    fleet = make_fleet([*shipment(1, "t1"), polled], broker.port, tmp_path / "shard.db")
    await fleet.start()
    await fleet.advance(START_S, World(uneven_power_w(2)).frame(START_S))
    with pytest.raises(FleetError, match=f"a sdm630 has no relay: {polled.serial}"):
        fleet.operate_relay([polled.serial], closed=False)
    with pytest.raises(FleetError, match="not in this fleet: AMI99999999"):
        fleet.operate_relay([A, "AMI99999999"], closed=False)
    assert fleet.take_switched() == {}
    await fleet.stop()
