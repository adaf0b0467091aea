"""Our collector as a foreign host sees it: mqtt-spb-wrapper 2.1.2 (EPL-2.0) in an environment of its own.

What is not as it should be in that release, and what is done about it:

- It does not read aliases. Where DDATA leaves out names and types it shows nothing, or ends with a KeyError. The peer's
  script puts them back from the births (peers/mqtt_spb_host.py).
- Its STATE is that of Sparkplug 2.2, `spBv1.0/<group>/STATE/<id>` with the text ONLINE: no primary host for us.
- Its commands carry a `seq`, as no command does; our collector does not mind.
- It shows values of a birth only under names with its own prefixes (`DATA/…`), so ours appear with the first DDATA.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.interop.collected import (
    COLLECTOR,
    GROUP,
    LENGTH_S,
    REPORT_EVERY_S,
    START_S,
    UNREACHABLE_AFTER_S,
    Collected,
    as_metrics,
    serial,
)
from tests.interop.environment import environment
from tests.interop.peer import Line, Peer
from tests.meters.meter_broker import Broker, on_both_brokers

pytestmark = on_both_brokers

COUNT = 3
SILENCE_S = 90


@pytest.fixture(scope="session")
def mqtt_spb_wrapper() -> Path:
    return environment("mqtt-spb-wrapper", "2.1.2", "paho-mqtt==1.6.1", "protobuf==3.20.3")


@pytest.fixture
async def host(broker: Broker, mqtt_spb_wrapper: Path) -> AsyncIterator[Peer]:
    host = await Peer(mqtt_spb_wrapper, "mqtt_spb_host.py", "127.0.0.1", broker.port, GROUP).start()
    await host.until(lambda lines: lines, "its subscription")
    assert host.lines == [{"subscribed": True}]
    yield host
    await host.stop()


@pytest.fixture
async def collected(broker: Broker, host: Peer, tmp_path: Path) -> AsyncIterator[Collected]:
    made = Collected(tmp_path, broker.port, count=COUNT)
    await made.fleet.start()
    yield made
    await made.fleet.stop()


def seen(lines: list[Line], *kinds: str, device: str | None = None) -> list[Line]:
    return [line for line in lines if line.get("saw") in kinds and device in (None, line["device"])]


def values(line: Line) -> dict[str, Any]:
    return {metric["name"]: metric["value"] for metric in line["metrics"]}


def intervals(line: Line) -> dict[int, dict[str, Any]]:
    """Of a DDATA, by the time in seconds that their metrics have in common."""
    found: dict[int, dict[str, Any]] = {}
    for metric in line["metrics"]:
        found.setdefault(metric["timestamp_ms"] // 1000, {})[metric["name"]] = metric["value"]
    return found


def as_it_sees(entry: dict[str, Any]) -> dict[str, object]:
    """It makes a local time of a DateTime."""
    demand_at = datetime.fromtimestamp(entry["max_demand_at"].timestamp())  # noqa: DTZ006  # as it does
    return as_metrics(entry) | {"Interval/1.6.0.5": str(demand_at)}


async def test_it_sees_births_and_intervals_that_are_the_journals(host: Peer, collected: Collected) -> None:
    await collected.go(START_S + 2 * REPORT_EVERY_S + 60)
    await host.until(lambda lines: len(seen(lines, "DDATA")) == 2 * COUNT, "all data")
    node, *devices = seen(host.lines, "NBIRTH", "DBIRTH")
    assert (node["saw"], node["edge"], node["seq"]) == ("NBIRTH", COLLECTOR, 0)
    assert values(node)["Node Control/Rebirth"] is False
    assert values(node)["Properties/Meters"] == COUNT
    assert [line["device"] for line in devices] == [serial(row) for row in range(COUNT)]
    assert [line["seq"] for line in devices] == [1, 2, 3]
    for line in devices:
        assert values(line)["Interval/Length"] == LENGTH_S
        (register,) = [metric for metric in line["metrics"] if metric["name"] == "Interval/1.8.0"]
        assert (register["null"], register["unit"]) == (True, "Wh")
    journal = collected.journal()
    assert len(journal) == COUNT * 2 * REPORT_EVERY_S // LENGTH_S
    for row in range(COUNT):
        told: dict[int, dict[str, Any]] = {}
        for line in seen(host.lines, "DDATA", device=serial(row)):
            told |= intervals(line)
        kept = {
            int(entry["interval_start"].timestamp()) + LENGTH_S: as_it_sees(entry)
            for entry in journal
            if entry["serial"] == serial(row)
        }
        assert told == kept
        assert seen(host.lines, "DDATA", device=serial(row))[-1]["latest"] == kept[max(kept)]


async def test_its_rebirth_command_brings_all_births_again(host: Peer, collected: Collected) -> None:
    await collected.go(START_S + REPORT_EVERY_S + 60)
    await host.until(lambda lines: len(seen(lines, "DDATA")) == COUNT, "the first data")
    await host.tell(edge=COLLECTOR, device=None, name="Node Control/Rebirth", value=True)
    await host.until(lambda lines: len(seen(lines, "DBIRTH")) == 2 * COUNT, "the second births")
    first, second = seen(host.lines, "NBIRTH")
    assert values(second)["bdSeq"] == values(first)["bdSeq"]
    assert second["seq"] == 0
    last = {entry["serial"]: entry for entry in sorted(collected.journal(), key=lambda entry: entry["interval_start"])}
    for line in seen(host.lines, "DBIRTH")[COUNT:]:
        assert values(line).items() >= as_it_sees(last[line["device"]]).items()
    await collected.go(START_S + 2 * REPORT_EVERY_S + 60)
    await host.until(lambda lines: len(seen(lines, "DDATA")) == 2 * COUNT, "data after the rebirth")


async def test_it_sees_that_a_collector_runs_on_its_battery(host: Peer, collected: Collected) -> None:
    await collected.go(START_S + 60)
    await host.until(lambda lines: len(seen(lines, "DBIRTH")) == COUNT, "births")
    assert values(seen(host.lines, "NBIRTH")[0])["Power/Mains"] is True
    await collected.switch(0, energised=False)
    await collected.go(START_S + 75)
    await collected.switch(0, energised=True)
    await collected.go(START_S + 90)
    await host.until(lambda lines: len(seen(lines, "NDATA")) == 2, "data of the collector")
    assert [(line["edge"], line["device"], values(line)) for line in seen(host.lines, "NDATA")] == [
        (COLLECTOR, None, {"Power/Mains": False}),
        (COLLECTOR, None, {"Power/Mains": True}),
    ]


async def test_it_sees_a_meter_and_a_collector_die_and_come_back(host: Peer, collected: Collected) -> None:
    await collected.go(START_S + 60)
    await host.until(lambda lines: len(seen(lines, "DBIRTH")) == COUNT, "births")
    collected.fleet.lose_uplink([serial(1)])
    await collected.go(START_S + 60 + UNREACHABLE_AFTER_S + 10)
    await host.until(lambda lines: seen(lines, "DDEATH"), "DDEATH")
    assert [line["device"] for line in seen(host.lines, "DDEATH")] == [serial(1)]
    collected.fleet.restore_uplink([serial(1)])
    await collected.go(START_S + LENGTH_S + 60)
    await host.until(lambda lines: len(seen(lines, "DBIRTH")) == COUNT + 1, "the meter's birth")
    assert seen(host.lines, "DBIRTH")[-1]["device"] == serial(1)

    collected.fleet.lose_uplink([COLLECTOR])
    await collected.go(START_S + LENGTH_S + 60 + SILENCE_S + 30)
    await host.until(lambda lines: seen(lines, "NDEATH"), "NDEATH")
    assert values(seen(host.lines, "NDEATH")[0]) == {"bdSeq": values(seen(host.lines, "NBIRTH")[0])["bdSeq"]}
    collected.fleet.restore_uplink([COLLECTOR])
    await collected.go(START_S + REPORT_EVERY_S + 60)
    await host.until(lambda lines: len(seen(lines, "DDATA")) == COUNT, "data")
    assert values(seen(host.lines, "NBIRTH")[1])["bdSeq"] == values(seen(host.lines, "NBIRTH")[0])["bdSeq"] + 1
