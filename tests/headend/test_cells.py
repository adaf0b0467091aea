"""The cell of the mobile network that a shipment file may name for a meter."""

from __future__ import annotations

from pathlib import Path

import pytest

from headend.clock import ManualClock
from headend.drivers import driver_for
from headend.errors import ShipmentError
from headend.pace import PACES, carrier_of, pace_of
from headend.registry import EndDevice, read_shipment
from headend.service import HeadEnd
from tests.headend.fleet import START_S, Shipment
from tests.headend.reader import Reader
from tests.headend.services import Mosquitto, Postgres
from tests.headend.test_ratios import with_columns

pytest_plugins = ["tests.headend.fixtures"]


async def test_a_meters_cell_is_registered_and_one_without_has_none(
    postgres: Postgres, mosquitto: Mosquitto, schema: str, tmp_path: Path, database: Reader
) -> None:
    shipment = Shipment(tmp_path / "shipped", count=2)
    with_columns(shipment, cell="operator-a/cell-E1N0")
    head_end = HeadEnd(shipment.settings(postgres.url(), schema, mosquitto.port), ManualClock(START_S))
    await head_end.start()
    await head_end.stop()
    assert database.rows("SELECT cell FROM end_device ORDER BY serial") == [("operator-a/cell-E1N0",), ("",)]


def test_the_allowance_is_that_of_the_collector_or_the_cell(tmp_path: Path) -> None:
    def device(profile: str, *, address: str = "", cell: str = "") -> EndDevice:
        return EndDevice(0, 1, "AMI1", "UP1", "g", driver_for(profile), START_S, address=address, cell=cell)

    settings = Shipment(tmp_path / "shipped").settings("postgresql://nowhere", "s", 1883)
    paced = settings.model_copy(update={"pacing": True})
    own, neighbour = device("rl-dsp", cell="operator-a/cell-E1N0"), device("rl-dsp", cell="operator-b/cell-E1N0")
    behind = device("sparkplug-plc", address="COL0001")
    assert len({carrier_of(own), carrier_of(neighbour), carrier_of(behind), carrier_of(device("rl-dsp"))}) == 4
    assert (pace_of(paced, own), pace_of(paced, behind)) == (PACES["cellular"], PACES["plc"])
    assert pace_of(paced, device("sparkplug-mesh", address="COL0002")) == PACES["mesh"]
    for each in (own, behind):
        assert pace_of(settings, each).allowance is None
    assert pace_of(paced, device("sdm630", address="127.0.0.1:502/1")).allowance is None


@pytest.mark.parametrize("cell", ["x" * 65, "a\x00b"])
def test_a_cell_that_none_is_called_is_named(tmp_path: Path, cell: str) -> None:
    shipment = Shipment(tmp_path / "shipped")
    with_columns(shipment, cell=cell)
    with pytest.raises(ShipmentError, match="line 2: cell"):
        read_shipment(shipment.path)


def test_a_cell_of_a_megabyte_is_a_fault_of_its_line(tmp_path: Path) -> None:
    shipment = Shipment(tmp_path / "shipped")
    with_columns(shipment, cell="x" * 1_000_000)
    with pytest.raises(ShipmentError, match="line 2: field larger"):
        read_shipment(shipment.path)
