"""Attribution of dark usage points to devices."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from grid.feeder import Device, Feeder
from grid.outages import OutageLog
from tests.grid.conftest import supplied

Seen = list[tuple[str, tuple[str, ...], int, int | None]]
NORTH, TRUNK = Device("transformer", "North"), Device("line", "trunk")
B, C = Device("service", "UP-b"), Device("service", "UP-c")


def history(feeder: Feeder, states: Sequence[Sequence[Device]]) -> Seen:
    """Outages after these devices were open at the instants 0, 1, 2 …"""
    log = OutageLog(feeder)
    for time_s, opened in enumerate(states):
        log.update(time_s, supplied(feeder, opened), frozenset(opened))
    return [(o.device.id, tuple(p.removeprefix("UP-") for p in o.usage_points), o.from_s, o.to_s) for o in log.outages]


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([[], [NORTH], []], [("North", ("a", "b", "c"), 1, 2)]),
        ([[NORTH]], [("North", ("a", "b", "c"), 0, None)]),
        # Inside an outage: the second device darkens nobody new, and takes over what it holds when the first closes.
        (
            [[], [NORTH], [NORTH, B], [B], []],
            [("North", ("a", "b", "c"), 1, 3), ("UP-b", (), 2, 4), ("UP-b", ("b",), 3, 4)],
        ),
        ([[], [B], [B, NORTH], []], [("UP-b", ("b",), 1, 3), ("North", ("a", "c"), 2, 3)]),
        ([[], [TRUNK, C], [C], []], [("trunk", ("a", "b"), 1, 2), ("UP-c", ("c",), 1, 3)]),
    ],
)
def test_attribution(hamlet: Feeder, states: list[list[Device]], expected: Seen) -> None:
    assert history(hamlet, states) == expected


def test_nothing_happened(hamlet: Feeder) -> None:
    assert history(hamlet, [[], []]) == []
