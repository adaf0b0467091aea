"""docs/three-phase.md shows the table of assumptions as the code reads it."""

from __future__ import annotations

from pathlib import Path

from grid.phase_assumptions import assumptions_table

PAGE = Path(__file__).parents[2] / "docs" / "three-phase.md"


def test_the_page_shows_every_assumption_with_grade_and_source() -> None:
    shown = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    rows = [f"| `{row.name}` | {row.value} | {row.text} | {row.grade} | {row.source} |" for row in assumptions_table()]
    assert shown == rows
    assert all(row.grade in "VSK" and row.source for row in assumptions_table())
