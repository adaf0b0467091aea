"""Lost phases of whom another phase keeps alive: from when to when, and for how long beside a supply."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from grid.demand import Demand
from grid.feeder import Device, Feeder
from grid.phase_losses import PhaseLossLog
from grid.simulation import GridSimulation

Seen = list[tuple[int, str, int, int | None, int]]
UNTIL_S = 1000


def history(*states: tuple[int, str, str]) -> Seen:
    """Losses after these phases had voltage at two usage points from these instants on, e.g. (10, "12", "3")."""
    log = PhaseLossLog(2)
    for time_s, *points in states:
        log.update(time_s, np.array([[str(phase) in lit for phase in (1, 2, 3)] for lit in points]))
    return [
        (each.row, f"L{each.phase + 1}", each.from_s, each.to_s, each.partial_s(UNTIL_S))
        for each in log.losses(UNTIL_S)
    ]


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([(0, "123", "1"), (10, "13", "1"), (70, "123", "1")], [(0, "L2", 10, 70, 60)]),
        ([(0, "123", "1"), (10, "13", "1")], [(0, "L2", 10, None, 990)]),
        # Who loses all its phases at once is dark, and so is who had but one.
        ([(0, "123", "1"), (10, "", ""), (70, "123", "1")], []),
        # One phase stays away when the others come back: it is lost since all were.
        ([(0, "123", ""), (10, "", ""), (40, "12", ""), (100, "123", "")], [(0, "L3", 10, 100, 60)]),
        # A loss goes on through the dark, which counts for nothing.
        ([(0, "123", ""), (10, "12", ""), (30, "", ""), (90, "12", ""), (95, "123", "")], [(0, "L3", 10, 95, 20)]),
        # One after the other: the last phase takes the supply with it.
        (
            [(0, "123", ""), (10, "23", ""), (20, "3", ""), (30, "", "")],
            [(0, "L1", 10, None, 20), (0, "L2", 20, None, 10)],
        ),
        # Never seen, closed again at the same instant, and after the end: no losses.
        ([(0, "12", "3"), (10, "2", "3"), (10, "12", "3"), (UNTIL_S + 1, "1", "3")], []),
    ],
)  # fmt: skip
def test_losses(states: list[tuple[int, str, str]], expected: Seen) -> None:
    assert history(*states) == expected


def test_a_run_writes_who_lost_a_phase_and_lived(hamlet: Feeder, start_s: int, tmp_path: Path) -> None:
    simulation = GridSimulation(hamlet, Demand.draw(hamlet, seed=3), start_s=start_s)
    fuse = Device("transformer", "North", "L2")
    simulation.advance(start_s)
    simulation.open(fuse)
    simulation.advance(start_s + 100)
    simulation.advance(start_s + 900)
    simulation.close(fuse)
    simulation.advance(start_s + 1000)
    simulation.advance(start_s + 1800)
    simulation.truth.write(tmp_path, until_s=start_s + 1800)
    rows = pq.read_table(tmp_path / "truth_phase_losses.parquet").to_pylist()
    connected = simulation.connected
    behind = hamlet.darkened_by(Device("transformer", "North"))
    lost = [row for row in behind if connected[row, 1] and connected[row].sum() > 1]
    assert lost
    assert [row["usage_point"] for row in rows] == [hamlet.usage_points[row].id for row in lost]
    for row in rows:
        assert (row["phase"], row["partial_s"]) == ("L2", 900)
        assert (row["start"].timestamp(), row["end"].timestamp()) == (start_s + 100, start_s + 1000)
