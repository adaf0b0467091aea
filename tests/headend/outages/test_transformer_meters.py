"""A meter at a transformer has no customer: what it says of supply is kept, and darkens nobody."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headend.clock import ManualClock
from headend.service import HeadEnd
from tests.headend.fleet import Shipment, event, iso
from tests.headend.networks import street
from tests.headend.outages.test_outages import (
    DOWN_S,
    UP_S,
    Street,
    clock,
    live,
    make,
    meters,
    report,
)
from tests.headend.reader import Reader

__all__ = ["clock", "make", "meters"]
pytest_plugins = ["tests.headend.fixtures"]

STATION = 10
"""The meter whose usage point is the transformer; 0 to 9 are the street's."""


@pytest.fixture
def shipment(tmp_path: Path) -> Shipment:
    return Shipment(tmp_path / "shipped", count=11)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    model = street().model
    names = {name: f"UP{STATION}" if name == "d0" else name for name in model.kinds}
    document = {
        "schema": 1,
        "feeder": "street",
        "devices": [
            {
                "id": names[name],
                "kind": "transformer" if name == "d0" else "section",
                "parent": None if above is None else names[above],
                **({"rated_kva": 250.0} if name == "d0" else {}),
            }
            for name, above in model.parents.items()
        ],
        "usage_points": [{"id": point, "device": names[device]} for point, device in model.feeding.items()],
    }
    path = tmp_path / "network.json"
    path.write_text(json.dumps(document))
    return path


async def test_its_own_loss_of_supply_is_kept_and_is_no_outage(
    head_end: HeadEnd, meters: Street, clock: ManualClock, database: Reader
) -> None:
    clock.set(DOWN_S + 47)
    meters.gasp([STATION])
    await live(head_end, clock, DOWN_S + 400)
    clock.set(UP_S + 25)
    meters.restore([STATION])
    await live(head_end, clock, UP_S + 3600)
    assert database.value("SELECT count(*) FROM interruption") == 1
    assert report(database) == []
    assert database.rows("SELECT transformer, rated_kva FROM transformer_meter") == [(f"UP{STATION}", 250.0)]


async def test_a_phase_that_it_lost_is_kept_and_is_no_evidence(
    head_end: HeadEnd, meters: Street, clock: ManualClock, database: Reader
) -> None:
    """Two customers are dark by themselves. With another one that lost L2 it would be the second to say so."""
    clock.set(DOWN_S + 47)
    for meter in (STATION, 0):
        meters.send(meter, "ev", event("phase_loss", DOWN_S + 45, 1, phase="L2", down_at=iso(DOWN_S)))
    meters.gasp([4, 5])
    await live(head_end, clock, DOWN_S + 90)
    assert database.value("SELECT count(*) FROM end_device_event WHERE code = 'phase_loss'") == 2
    services = [("open", device, DOWN_S, None, 1, 1, 0, 0) for device in ("d7", "d8")]
    assert report(database) == services


async def test_beside_its_customers_it_is_none_of_them(
    head_end: HeadEnd, meters: Street, clock: ManualClock, database: Reader
) -> None:
    everybody = range(11)
    clock.set(DOWN_S + 47)
    meters.gasp(everybody)
    await live(head_end, clock, DOWN_S + 80)
    clock.set(UP_S + 25)
    meters.restore(everybody)
    await live(head_end, clock, UP_S + 60)
    assert report(database) == [("sustained", f"UP{STATION}", DOWN_S, UP_S, 10, 10, 10, 0)]
    indices = database.rows("SELECT customers_served, saidi_min, saifi FROM reliability_indices")
    assert indices == [(10, pytest.approx(120), pytest.approx(1))]
