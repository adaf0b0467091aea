"""Seeded choice of devices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from grid.feeder import Device, Feeder, build_feeder
from grid.selectors import Choice, SelectionError, select


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(("kind", "bounds"), [("transformer", [50, 200]), ("section", [10, 60]), ("line", [5, 9])])
def test_customers_lie_within_the_range(schutterwald: Feeder, kind: str, bounds: list[int]) -> None:
    chosen = {select(schutterwald, kind, {"customers": bounds}, rng(seed)) for seed in range(20)}
    assert len(chosen) > 3
    assert all(bounds[0] <= len(schutterwald.darkened_by(choice.device)) <= bounds[1] for choice in chosen)
    assert not any(choice.remark for choice in chosen)


def test_same_seed_same_device(schutterwald: Feeder) -> None:
    assert select(schutterwald, "section", {}, rng(5)) == select(schutterwald, "section", {}, rng(5))


def test_sections_are_not_whole_transformers(schutterwald: Feeder) -> None:
    whole = {len(schutterwald.darkened_by(device)) for device in schutterwald.devices("transformer")}
    for seed in range(20):
        device = select(schutterwald, "section", {"customers": [31, 69]}, rng(seed)).device
        transformer = schutterwald.sections[device.id].transformer
        all_of_it = schutterwald.darkened_by(Device("transformer", transformer))
        assert len(schutterwald.darkened_by(device)) < len(all_of_it)
    # Nothing else exists with as many customers as the largest transformer.
    device = select(schutterwald, "section", {"customers": [max(whole), max(whole)]}, rng()).device
    assert len(schutterwald.darkened_by(device)) == max(whole)


def test_service_is_one_usage_point(schutterwald: Feeder) -> None:
    device = select(schutterwald, "service", {}, rng()).device
    assert schutterwald.usage_points[schutterwald.darkened_by(device)[0]].id == device.id


def test_by_id(hamlet: Feeder) -> None:
    assert select(hamlet, "line", {"id": "branch"}, rng()) == Choice(Device("line", "branch"))


def test_taken_usage_points_are_avoided(hamlet: Feeder) -> None:
    for seed in range(10):
        assert select(hamlet, "transformer", {}, rng(seed), exclude={"UP-b"}).device.id == "South"
    with pytest.raises(SelectionError, match="would darken 1 usage point"):
        select(hamlet, "line", {"id": "trunk"}, rng(), exclude={"UP-b"})


@pytest.mark.parametrize(
    ("kind", "criteria", "message"),
    [
        ("pole", {}, "unknown kind of device 'pole'; known: transformer, section, line, service"),
        ("transformer", {"id": "West"}, "no transformer 'West'; it has: North, South"),
        ("section", {"customers": [9, 3]}, "1 <= low <= high"),
        ("section", {"customers": 5}, "expected .low, high."),
        ("section", {"size": 5, "customers": ["1", 2]}, "unknown criterion 'size'.*'customers' is"),
        ("line", {"id": "branch", "customers": [1, 2]}, "exclude each other"),
    ],
)
def test_refusals_say_what_exists(hamlet: Feeder, kind: str, criteria: dict[str, object], message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        select(hamlet, kind, criteria, rng())


def test_nobody_left(hamlet: Feeder) -> None:
    everybody = {point.id for point in hamlet.usage_points}
    with pytest.raises(SelectionError, match=r"spares the 4 usage point.* with 1 to 3 customers"):
        select(hamlet, "section", {}, rng(), exclude=everybody)


def test_the_nearest_stands_in_where_nothing_is_in_the_range(hamlet: Feeder) -> None:
    above = select(hamlet, "transformer", {"customers": [50, 200]}, rng())
    assert above == Choice(Device("transformer", "North"), "the nearest to 50–200 customers")
    between = select(hamlet, "service", {"customers": [2, 3]}, rng())
    assert between.remark == "the nearest to 2–3 customers"


def test_the_whole_feeder_is_never_darkened(net: Any) -> None:
    net.load.loc[3, "in_service"] = False
    feeder = build_feeder("north only", net)
    choice = select(feeder, "transformer", {"customers": [3, 9]}, rng())
    assert len(feeder.darkened_by(choice.device)) == 2
    assert choice.device.kind == "section"
    assert choice.remark == "in place of a transformer with 3–9 customers"
    assert select(feeder, "transformer", {"id": "North"}, rng()).device.id == "North", "unless it is named"


def test_usage_points_are_shared_only_where_there_is_no_other_way(hamlet: Feeder) -> None:
    first = select(hamlet, "transformer", {"customers": [3, 3]}, rng(), avoid={"UP-b"})
    assert first == Choice(Device("transformer", "South"), "the nearest to 3–3 customers")
    second = select(hamlet, "transformer", {"customers": [3, 3]}, rng(), avoid={"UP-b", "UP-d"})
    assert second == Choice(Device("transformer", "North"), "some of whom another event hits, too")
    third = select(hamlet, "transformer", {"customers": [3, 3]}, rng(), avoid={"UP-b"}, exclude={"UP-d"})
    assert third.device.id == "North"


def test_an_outage_is_seen_by_a_meter(hamlet: Feeder) -> None:
    for seed in range(5):
        assert select(hamlet, "transformer", {}, rng(seed), metered={"UP-d"}).device.id == "South"
        assert select(hamlet, "service", {}, rng(seed), metered={"UP-c"}).device.id == "UP-c"


def test_a_single_customer_cannot_be_cut_off_alone(net: Any) -> None:
    net.load.loc[1:, "in_service"] = False
    with pytest.raises(SelectionError, match=r"not the whole feeder; .* 1 usage point in all"):
        select(build_feeder("a alone", net), "transformer", {}, rng())
