"""Seeded choice of devices."""

from __future__ import annotations

import numpy as np
import pytest

from grid.feeder import Device, Feeder
from grid.selectors import SelectionError, select


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(("kind", "bounds"), [("transformer", [50, 200]), ("section", [10, 60]), ("line", [5, 9])])
def test_customers_lie_within_the_range(schutterwald: Feeder, kind: str, bounds: list[int]) -> None:
    chosen = {select(schutterwald, kind, {"customers": bounds}, rng(seed)) for seed in range(20)}
    assert len(chosen) > 3
    assert all(bounds[0] <= len(schutterwald.darkened_by(device)) <= bounds[1] for device in chosen)


def test_same_seed_same_device(schutterwald: Feeder) -> None:
    assert select(schutterwald, "section", {}, rng(5)) == select(schutterwald, "section", {}, rng(5))


def test_sections_are_not_whole_transformers(schutterwald: Feeder) -> None:
    whole = {len(schutterwald.darkened_by(device)) for device in schutterwald.devices("transformer")}
    for seed in range(20):
        device = select(schutterwald, "section", {"customers": [31, 69]}, rng(seed))
        transformer = schutterwald.sections[device.id].transformer
        all_of_it = schutterwald.darkened_by(Device("transformer", transformer))
        assert len(schutterwald.darkened_by(device)) < len(all_of_it)
    # Nothing else exists with as many customers as the largest transformer.
    device = select(schutterwald, "section", {"customers": [max(whole), max(whole)]}, rng())
    assert len(schutterwald.darkened_by(device)) == max(whole)


def test_service_is_one_usage_point(schutterwald: Feeder) -> None:
    device = select(schutterwald, "service", {}, rng())
    assert schutterwald.usage_points[schutterwald.darkened_by(device)[0]].id == device.id


def test_by_id(hamlet: Feeder) -> None:
    assert select(hamlet, "line", {"id": "branch"}, rng()) == Device("line", "branch")


def test_taken_usage_points_are_avoided(hamlet: Feeder) -> None:
    for seed in range(10):
        assert select(hamlet, "transformer", {}, rng(seed), exclude={"UP-b"}) == Device("transformer", "South")
    with pytest.raises(SelectionError, match="would darken 1 usage point"):
        select(hamlet, "line", {"id": "trunk"}, rng(), exclude={"UP-b"})


@pytest.mark.parametrize(
    ("kind", "criteria", "message"),
    [
        ("pole", {}, "unknown kind of device 'pole'; known: transformer, section, line, service"),
        ("transformer", {"customers": [4, 9]}, r"no transformer with 4–9 customers.* 2 of them with 1 to 3 customers"),
        ("transformer", {"id": "West"}, "no transformer 'West'; it has: North, South"),
        ("service", {"customers": [2, 3]}, "4 of them with 1 to 1"),
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
    with pytest.raises(SelectionError, match="apart from the 4 usage points that are taken"):
        select(hamlet, "section", {}, rng(), exclude=everybody)
