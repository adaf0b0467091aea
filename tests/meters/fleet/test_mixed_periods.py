"""Meters of several vendors in one fleet, each with its own capture period and its own cadence."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from lab.services.ports import ReservedPort
from meters.fleet.fleet import BrokerAddress, Fleet
from meters.vendors.registry import load_profile
from tests.meters.meter_broker import Broker
from tests.meters.meter_yard import START_S, Ear, World, grant, shipment, uneven_power_w

HOURS = 2
PERIODS_S = {"rl-dsp": 300, "sparkplug-plc": 1800, "sdm630": 3600}
EACH = 2


async def test_each_vendors_meters_keep_their_own_period(tmp_path: Path, broker: Broker) -> None:
    entries = shipment(EACH * len(PERIODS_S), "t1")
    port = ReservedPort()
    for number, name in enumerate(PERIODS_S):
        for row in range(number * EACH, (number + 1) * EACH):
            unit = row - number * EACH + 1
            address = {"sparkplug-plc": "COL1", "sdm630": f"127.0.0.1:{port.port}/{unit}"}.get(name, "")
            login = {"sparkplug-plc": "c", "sdm630": ""}.get(name, entries[row].username)
            entries[row] = replace(
                entries[row], vendor_profile=name, address=address, username=login, password=login and "secret"
            )
    world = World(uneven_power_w(len(entries)))
    fleet = Fleet(
        meters=entries,
        world_rows=range(len(entries)),
        memory_path=tmp_path / "fleet.sqlite",
        broker=BrokerAddress("127.0.0.1", broker.port),
        seed=7,
        start_s=START_S,
        profiles={name: load_profile(name).at_interval(length_s) for name, length_s in PERIODS_S.items()},
    )
    ear = await Ear("t1", broker.port).open()
    await fleet.start()
    end_s = START_S + HOURS * 3600
    await grant(fleet, end_s + 60, {at_s: world.frame(at_s) for at_s in range(START_S, end_s + 1, 900)})
    await ear.caught_up()
    fleet.export_journal(tmp_path / "journal")
    flowed_wh = world.power_w.clip(0).sum(axis=1) * HOURS
    for number, (name, length_s) in enumerate(PERIODS_S.items()):
        rows = pq.read_table(tmp_path / "journal" / f"fleet-{name}.parquet").to_pylist()
        assert {row["interval_length_s"] for row in rows} == {length_s}
        own = entries[number * EACH : (number + 1) * EACH]
        assert Counter(row["serial"] for row in rows) == {entry.serial: HOURS * 3600 // length_s for entry in own}
        for place, entry in enumerate(own, start=number * EACH):
            recorded_wh = sum(row["import_wh"] for row in rows if row["serial"] == entry.serial)
            # Class 1, and two steps of the coarsest register.
            assert recorded_wh == pytest.approx(flowed_wh[place], rel=0.01, abs=16)
    # Each reports at its own cadence: this one whenever an interval ends.
    assert len(ear.of("ds", entries[0].serial)) == HOURS * 12
    assert np.diff([round(reading["meter"]["1.8.0"]) for reading in ear.of("ds", entries[0].serial)]).min() >= 0
    await fleet.stop()
    ear.close()
    port.close()
