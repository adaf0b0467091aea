"""A meter that counts and reports itself, against docs/wire-shelly-pro-3em.md and a real broker."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion

from grid.world import WorldFrame
from meters.device.quantities import QUANTITIES
from meters.vendors.shelly_pro_3em import wire
from tests.meters.meter_broker import Broker
from tests.meters.meter_yard import START_S, World, grant, make_fleet, shipment, uneven_power_w, until

COUNT = 6
NAME = "shelly-pro-3em"
GROUP = "t1"


# The keys that devices were seen to send, in the order in which they sort: docs/wire-shelly-pro-3em.md.
EM_KEYS = sorted(
    [f"{phase}_{key}" for phase in "abc" for key in ("act_power", "aprt_power", "current", "freq", "pf", "voltage")]
    + ["id", "n_current", "total_act_power", "total_aprt_power", "total_current"]
)
EMDATA_KEYS = sorted(
    [f"{phase}_{key}" for phase in "abc" for key in ("total_act_energy", "total_act_ret_energy")]
    + ["id", "total_act", "total_act_ret"]
)


def test_a_report_is_as_a_device_was_seen_to_send_it() -> None:
    """Two phases without voltage, and export in the third: the example of the project eddie."""
    quantities = dict.fromkeys(QUANTITIES, 0.0) | {
        "voltage_l3_v": 228.3, "current_l3_a": 0.4761, "active_power_l3_w": -18.017, "apparent_power_l3_va": 108.7082,
        "power_factor_l3": -0.166, "active_power_w": -18.0172, "apparent_power_va": 18.1, "current_sum_a": 0.4761,
        "frequency_hz": 50.0,
    }  # fmt: skip
    (said,) = wire.report("AMI00000007", START_S, quantities)
    em, emdata = (json.loads(said.payload)["params"][name] for name in ("em:0", "emdata:0"))
    assert (sorted(em), sorted(emdata)) == (EM_KEYS, EMDATA_KEYS)
    assert {key: em[key] for key in em if key.startswith("c_")} == {
        "c_act_power": -18.0, "c_aprt_power": 108.7, "c_current": 0.476, "c_freq": 50.0, "c_pf": 0.17,
        "c_voltage": 228.3,
    }  # fmt: skip
    assert (em["a_freq"], em["a_voltage"], em["n_current"]) == (0.0, 0.0, None)
    assert (em["total_act_power"], em["total_aprt_power"], em["total_current"]) == (-18.017, 108.708, 0.476)


@given(st.fixed_dictionaries({name: st.floats(-1e6, 1e9) for name in QUANTITIES}))
def test_a_report_has_what_the_document_names(quantities: dict[str, float]) -> None:
    (said,) = wire.report("AMI00000007", START_S, quantities)
    assert said.leaf == "events/rpc"
    notification = json.loads(said.payload)
    assert (notification["src"], notification["method"]) == ("shellypro3em-ami00000007", "NotifyStatus")
    params = notification["params"]
    assert params["ts"] == START_S
    em, emdata = params["em:0"], params["emdata:0"]
    assert em["total_act_power"] == pytest.approx(quantities["active_power_w"], abs=0.00051)
    assert em["n_current"] is None
    for name, phase in (("a", 1), ("b", 2), ("c", 3)):
        assert em[f"{name}_voltage"] == pytest.approx(quantities[f"voltage_l{phase}_v"], abs=0.051)
        assert em[f"{name}_act_power"] == pytest.approx(quantities[f"active_power_l{phase}_w"], abs=0.051)
        assert emdata[f"{name}_total_act_energy"] == pytest.approx(quantities[f"import_l{phase}_wh"], abs=0.0051)
        assert emdata[f"{name}_total_act_ret_energy"] == pytest.approx(quantities[f"export_l{phase}_wh"], abs=0.0051)
    assert emdata["total_act"] == pytest.approx(quantities["import_wh"], abs=0.0051)
    assert emdata["total_act_ret"] == pytest.approx(quantities["export_wh"], abs=0.0051)


class Street:
    """Meters, their world, and what is heard of them."""

    def __init__(self, directory: Path, port: int) -> None:
        self.directory, self.port = directory, port
        self.entries = [replace(entry, vendor_profile=NAME) for entry in shipment(COUNT, GROUP)]
        self.world = World(uneven_power_w(COUNT))
        self.fleet = make_fleet(self.entries, port, directory / "fleet-0.sqlite")
        self.now_s = START_S
        self.heard: list[tuple[str, bytes]] = []
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="ear", protocol=mqtt.MQTTv311)
        self._ready = False

    async def listen(self) -> None:
        def subscribed(*_: object) -> None:
            self._ready = True

        self._client.on_connect = lambda client, *_: client.subscribe(f"dt/{GROUP}/#", qos=1)
        self._client.on_subscribe = subscribed
        self._client.on_message = lambda _c, _d, message: self.heard.append((message.topic, bytes(message.payload)))
        self._client.connect("127.0.0.1", self.port)
        self._client.loop_start()
        await until(lambda: self._ready)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    async def go(self, until_s: int, *, extra: Sequence[int] = (), **switched: bool) -> None:
        frames: dict[int, WorldFrame] = {}
        if switched or self.now_s == START_S:
            frames[self.now_s] = self.world.frame(self.now_s, power_w=None, **switched)
        for time_s in range(self.now_s - self.now_s % 900 + 900, until_s + 1, 900):
            frames[time_s] = self.world.frame(time_s)
        await grant(self.fleet, until_s, frames, extra=extra)
        self.now_s = until_s

    async def reports(self, row: int, from_s: int, to_s: int) -> dict[int, dict[str, Any]]:
        """What meter `row` reported in [from_s, to_s], by instant; each instant once."""
        end = f"dt/{GROUP}/_end/{len(self.heard)}"
        self._client.publish(end, b"", qos=1)
        await until(lambda: any(topic == end for topic, _ in self.heard))
        topic = f"dt/{GROUP}/{self.entries[row].serial}/events/rpc"
        found: dict[int, dict[str, Any]] = {}
        for where, payload in self.heard:
            if where == topic:
                params = json.loads(payload)["params"]
                assert found.setdefault(params["ts"], params) == params
        return {at_s: params for at_s, params in found.items() if from_s <= at_s <= to_s}

    def states(self, row: int) -> list[bytes]:
        topic = f"dt/{GROUP}/{self.entries[row].serial}/online"
        return [payload for where, payload in self.heard if where == topic]

    def journal(self, name: str) -> pa.Table:
        self.fleet.export_journal(self.directory / "journal")
        return pq.read_table(self.directory / "journal" / name / f"fleet-0-{NAME}.parquet")


@pytest.fixture
async def street(tmp_path: Path, broker: Broker) -> AsyncIterator[Street]:
    made = Street(tmp_path, broker.port)
    await made.listen()
    await made.fleet.start()
    yield made
    await made.fleet.stop()
    made.close()


async def test_each_minute_it_says_what_its_registers_show_and_the_journal_agrees(street: Street) -> None:
    await street.go(START_S + 3600)
    rows = street.journal("").to_pylist()
    assert len(rows) == COUNT * 4
    for row in range(COUNT):
        found = await street.reports(row, START_S + 60, START_S + 3600)
        assert sorted(found) == list(range(START_S + 60, START_S + 3601, 60))
        assert street.states(row) == [b"true"]
        own = [each for each in rows if each["serial"] == street.entries[row].serial]
        for interval in own:
            end_s = int(interval["interval_start"].timestamp()) + 900
            said = found[end_s]["emdata:0"]
            assert round(said["total_act"]) == interval["import_register_wh"]
            assert round(said["total_act_ret"]) == interval["export_register_wh"]
            # Power and voltage are those of the instant, also where they change at it.
            assert round(found[end_s]["em:0"]["total_act_power"]) == interval["active_power_w"]
            assert round(found[end_s]["em:0"]["b_act_power"]) == interval["active_power_l2_w"]
            assert found[end_s]["em:0"]["c_current"] == interval["current_l3_a"]
            assert found[end_s]["em:0"]["a_pf"] == abs(interval["power_factor_l1"])
            assert found[end_s]["em:0"]["a_voltage"] == interval["voltage_l1_v"]
        registers = [found[at_s]["emdata:0"]["total_act"] for at_s in sorted(found)]
        assert registers == sorted(registers)


async def test_without_supply_it_is_silent_at_once_and_its_registers_go_on_where_they_stood(street: Street) -> None:
    await street.go(START_S + 330)
    await street.go(START_S + 930, m0=False)
    await street.go(START_S + 1800, m0=True)
    found = await street.reports(0, START_S, START_S + 1800)
    assert [at_s for at_s in found if START_S + 330 <= at_s < START_S + 940] == []
    # It has started within a minute.
    assert sorted(at_s for at_s in found if at_s > START_S + 930)[0] <= START_S + 930 + 70
    before, after = found[START_S + 300], found[START_S + 1800]
    passed_wh = after["emdata:0"]["total_act"] - before["emdata:0"]["total_act"]
    lit_s = 30 + 870
    assert passed_wh == pytest.approx(street.world.power_w[0].clip(0).sum() * lit_s / 3600, rel=0.02)
    # The broker says for it that it is gone, and it says itself that it is back.
    assert street.states(0) == [b"true", b"false", b"true"]
    assert street.states(1) == [b"true"]


async def test_what_could_not_be_said_at_its_minute_is_never_said_and_the_curve_has_it(street: Street) -> None:
    await street.go(START_S + 600)
    serial = street.entries[2].serial
    street.fleet.lose_uplink([serial])
    await street.go(START_S + 1200)
    street.fleet.restore_uplink([serial])
    await street.go(START_S + 2700)
    found = await street.reports(2, START_S, START_S + 2700)
    assert [at_s for at_s in found if START_S + 600 < at_s < START_S + 1200] == []
    assert {START_S + 1800, START_S + 2700} <= found.keys()
    assert len([row for row in street.journal("").to_pylist() if row["serial"] == serial]) == 3
    knots = [row for row in street.journal("registers").to_pylist() if row["serial"] == serial]
    assert all(row["answers_from_s"] <= row["from_s"] for row in knots), "it counted and showed all the time"


async def test_whatever_the_grants_it_says_and_keeps_the_same(tmp_path: Path, broker: Broker) -> None:
    found = []
    for name, extra in (("as asked", ()), ("more", range(START_S + 7, START_S + 3600, 13))):
        (tmp_path / name).mkdir()
        street = Street(tmp_path / name, broker.port)
        await street.listen()
        await street.fleet.start()
        await street.go(START_S + 1300, extra=[at_s for at_s in extra if at_s <= START_S + 1300])
        await street.go(START_S + 3600, extra=[at_s for at_s in extra if at_s > START_S + 1300], m0=False)
        reports = [await street.reports(row, START_S, START_S + 3600) for row in range(COUNT)]
        found.append((reports, street.journal("").to_pylist(), street.journal("registers").to_pylist()))
        await street.fleet.stop()
        street.close()
    assert found[0] == found[1]


async def test_a_restarted_process_never_goes_behind_what_was_said(street: Street, broker: Broker) -> None:
    await street.go(START_S + 1260)
    before = await street.reports(3, START_S, START_S + 1260)
    # Nothing is written at the end: a stop leaves in the memory what a kill would.
    await street.fleet.stop()
    again = street.fleet = make_fleet(street.entries, broker.port, street.directory / "fleet-0.sqlite")
    await again.start()
    frame = street.world.frame(START_S + 1300, power_w=street.world.power_w * 0)
    await again.advance(START_S + 1300, frame)
    await grant(again, START_S + 1800)
    after = await street.reports(3, START_S + 1261, START_S + 1800)
    assert after
    assert (
        min(each["emdata:0"]["total_act"] for each in after.values()) >= before[START_S + 1260]["emdata:0"]["total_act"]
    )
