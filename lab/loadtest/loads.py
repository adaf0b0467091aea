"""From a fleet and a load to a plan for Locust, and to the devices that the stand must know. Pure but for passwords."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headend.drivers import driver_for
from lab.fleet.commissioning import Commissioned
from lab.fleet.geography import Place
from loadtests.duties import Rhythm
from loadtests.plan import Broker, Gateway, Plan, Reading, Station
from loadtests.shapes import Shape

CUSTOMERS_PER_TRANSFORMER = 100
SLACK_S = 60.0
"""Longer than the last user takes to stop, on the schedule."""


@dataclass(frozen=True, slots=True)
class Polled:
    """Meters of one gateway, as entries of the shipment."""

    address: str
    meters: tuple[int, ...]


def usage_points(meters: int) -> tuple[list[str], list[Place]]:
    """Premises without a feeder: a transformer for each hundred."""
    points = [f"UP{number + 1:08d}" for number in range(meters)]
    places = [Place(None, None, f"T{number // CUSTOMERS_PER_TRANSFORMER + 1}") for number in range(meters)]
    return points, places


def write_network_model(path: Path, points: Sequence[str], places: Sequence[Place]) -> None:
    """The utility's records of who hangs on which transformer (docs/network-model.md)."""
    transformers = sorted({place.transformer for place in places})
    devices = [{"id": f"transformer:{name}", "kind": "transformer", "parent": None} for name in transformers]
    devices += [
        {"id": f"service:{point}", "kind": "service", "parent": f"transformer:{place.transformer}"}
        for point, place in zip(points, places, strict=True)
    ]
    document = {
        "schema": 1,
        "feeder": "load test",
        "devices": devices,
        "usage_points": [{"id": point, "device": f"service:{point}"} for point in points],
    }
    path.write_text(json.dumps(document), encoding="utf-8")


def polled(fleet: Commissioned) -> list[Polled]:
    """The gateways of the fleet."""
    return [
        Polled(name, tuple(rows))
        for name, rows in fleet.carriers.items()
        if fleet.meters[rows[0]].profile.capabilities.needs_gateway
    ]


def block_of(fleet: Commissioned) -> int:
    """How many intervals a collector of the fleet reports at once; 1 without any."""
    facts = [meter.profile.facts for meter in fleet.meters if meter.profile.capabilities.needs_collector]
    return max((fact.report_every_s // fact.interval_length_s for fact in facts), default=1)


def reported_share(fleet: Commissioned) -> float:
    """Of the meters: those that report their intervals, by themselves or by a collector, one in each period."""
    return sum(meter.profile.capabilities.keeps_load_profile for meter in fleet.meters) / len(fleet.meters)


def intervals(rhythm: Rhythm) -> tuple[int, int]:
    """The smallest number that is used, and one more than the largest, with what the last users may do beyond."""
    return rhythm.oldest, rhythm.newest + math.ceil(SLACK_S / rhythm.period_s)


def make_plan(
    fleet: Commissioned,
    shape: Shape,
    *,
    group: str,
    period_s: float,
    interval_s: int,
    before_s: float,
    broker: Broker,
    reading: Reading | None,
    readers: int,
) -> Plan:
    """:param before_s: epoch s, before which all intervals of the load start: no meter sends the same one twice."""
    serials = tuple(meter.serial for meter in fleet.meters)
    row_of = {serial: row for row, serial in enumerate(serials)}
    block = block_of(fleet)
    rhythm = Rhythm(period_s, block, shape.duration_s, shape.storm, shape.wave)
    _, newest = intervals(rhythm)
    return Plan(
        group=group,
        shape=shape,
        period_s=period_s,
        interval_s=interval_s,
        block=block,
        first_interval_s=(int(before_s) // interval_s - newest) * interval_s,
        serials=serials,
        broker=broker,
        meters=tuple(
            Station(meter.serial, meter.username, meter.password, (row,), meter.profile.wire)
            for row, meter in enumerate(fleet.meters)
            if not meter.address and meter.profile.capabilities.keeps_load_profile
        ),
        collectors=tuple(
            Station(
                name,
                meters[0].username,
                meters[0].password,
                tuple(row_of[meter.serial] for meter in meters),
                meters[0].profile.wire,
            )
            for name, meters in fleet.collectors.items()
        ),
        gateways=tuple(_gateway(found, fleet) for found in polled(fleet)),
        reading=reading,
        readers=readers if reading is not None else 0,
    )


def _gateway(found: Polled, fleet: Commissioned) -> Gateway:
    host, _, port = found.address.rpartition(":")
    registers = driver_for(fleet.meters[found.meters[0]].profile.wire).modbus
    assert registers is not None, "the driver of a polled meter has a register map"
    blocks = ((block.function, block.first, block.count) for block in registers.blocks)
    return Gateway(host, int(port), len(found.meters), tuple(blocks))
