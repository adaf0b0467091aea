"""The meters of transformers: behind the customers' in shipment and frames, and like them in all else."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from lab.errors import UserError
from lab.fleet.plan import FleetPlan, Vendors, plan_fleet
from lab.fleet.presets import TRANSFORMER_METER
from lab.scenario.model import FleetChoice
from meters.vendors.registry import load_profile

GRID: dict[str, Any] = {
    "usage_points": [f"UP{n}" for n in range(60)],
    "largest_w": [9_000.0] * 60,
    "phases": [["L1", "L2", "L3"]] * 60,
    "places": [[7.8, 48.4, "T1" if n < 40 else "T2"] for n in range(60)],
    "transformer_points": [
        ["transformer:T1", 630_000.0, 7.8, 48.4, "T1"],
        ["transformer:T2", 250_000.0, None, None, "T2"],
    ],
}


def planned(
    shares: dict[str, float], at_transformers: str | None, meters: int | None = None, **others: dict[str, str]
) -> FleetPlan:
    ports = count(20_000)
    return plan_fleet(
        Vendors(shares, at_transformers=at_transformers),
        GRID,
        meters=meters,
        seed=7,
        group="g",
        broker=None,
        new_gateway=lambda: f"127.0.0.1:{next(ports)}",
        **others,
    )


@pytest.mark.parametrize("meters", [None, 12])
def test_they_come_behind_the_customers(meters: int | None) -> None:
    plan = planned({"sdm630": 0.5, "sparkplug-mesh": 0.5}, TRANSFORMER_METER, meters)
    customers = meters or 60
    assert len(plan.fleet.meters) == customers, "none of theirs is counted with the customers'"
    stations = plan.at_transformers
    assert stations is not None
    assert [meter.usage_point for meter in stations.fleet.meters] == ["transformer:T1", "transformer:T2"]
    assert stations.rows == [60, 61], "behind all usage points of the frame, metered or not"
    everybody = plan.everybody
    assert everybody.fleet.meters == [*plan.fleet.meters, *stations.fleet.meters]
    serials = [meter.serial for meter in everybody.fleet.meters]
    assert len(set(serials)) == customers + 2
    carried = [row for rows in everybody.fleet.carriers.values() for row in rows]
    assert sorted(carried) == list(range(customers + 2))
    addresses = [meter.address for meter in everybody.fleet.meters if meter.profile.capabilities.needs_gateway]
    assert len(set(addresses)) == len(addresses)
    assert everybody.interval_lengths_s(62) == [900] * 62


@pytest.mark.parametrize(("profile", "kind"), [(TRANSFORMER_METER, "sdm630"), ("rl-dsp-ct", "rl-dsp")])
def test_current_transformers_fit_the_rating_and_cost_accuracy(profile: str, kind: str) -> None:
    stations = planned({"rl-dsp": 1.0}, profile).at_transformers
    assert stations is not None
    # 630 kVA are 913 A at 3 x 230 V, 250 kVA are 362 A.
    assert [meter.max_current_a for meter in stations.fleet.meters] == [1000.0, 400.0]
    meter, bare = load_profile(profile), load_profile(kind)
    assert meter.wire == bare.wire
    own = {name for name in type(bare.facts).model_fields if getattr(meter.facts, name) != getattr(bare.facts, name)}
    assert own == {"accuracy_class_percent", "transformer_operated"}
    assert meter.facts.transformer_operated
    assert meter.facts.accuracy_class_percent > bare.facts.accuracy_class_percent
    assert not meter.capabilities.has_relay
    assert meter.capabilities.has_clock == bare.capabilities.has_clock


def test_without_them_customers_are_everybody() -> None:
    alone = planned({"sparkplug-mesh": 1.0}, None)
    assert alone.at_transformers is None
    assert alone.everybody is alone


def test_a_meter_with_a_relay_is_none_for_a_transformer() -> None:
    with pytest.raises(UserError, match="its relay would disconnect everybody behind it"):
        planned({"rl-dsp": 1.0}, "rl-dsp")


def test_the_customers_meters_are_the_same_with_and_without_them() -> None:
    def drawn(at_transformers: str | None) -> list[tuple[str, str, str]]:
        plan = planned({"sdm630": 0.4, "sparkplug-mesh": 0.3, "rl-dsp": 0.3}, at_transformers)
        return [(meter.serial, meter.usage_point, meter.profile.name) for meter in plan.fleet.meters]

    assert drawn(None) == drawn(TRANSFORMER_METER)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, TRANSFORMER_METER),
        ({"meters": 40}, None),
        ({"meters": 40, "transformer_meters": "em340"}, "em340"),
        ({"transformer_meters": "none"}, None),
    ],
)
def test_a_scenario_has_them_where_a_balance_closes_or_it_says_so(keys: dict[str, Any], expected: str | None) -> None:
    assert FleetChoice(**keys).at_transformers == expected


def test_a_profile_that_cannot_be_read_is_told_by_the_key_that_names_it() -> None:
    with pytest.raises(UserError) as refused:
        planned({"rl-dsp": 1.0}, "file:/nowhere/station.toml")
    (fault,) = refused.value.faults
    assert fault.startswith("transformer_meters: /nowhere/station.toml: cannot be read")
    assert "transformer_meters" in str(refused.value.hint)


def test_ratios_of_usage_points_without_a_meter_are_told_apart_from_those_of_none() -> None:
    metered = {meter.usage_point for meter in planned({"rl-dsp": 1.0}, None, 12).fleet.meters}
    without = min(point for point in GRID["usage_points"] if point not in metered)
    ratios = {"UP-nope": "200/5", without: "200/5"}
    with pytest.raises(UserError) as refused:
        planned({"rl-dsp": 1.0}, None, 12, current_transformers=ratios, voltage_transformers={"UP-nope": "2/1"})
    assert refused.value.faults == (
        "there is no usage point 'UP-nope'",
        f"{without!r} has no meter that could be behind transformers",
    )
