"""What nets of low-voltage feeders rarely state, and an unbalanced flow needs: the table `phase_assumptions.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Assumption:
    """One row of the table."""

    name: str
    value: float | str
    text: str
    grade: Literal["V", "S", "K"]
    """As in the table's head: read or run, second hand, or amilab's own choice."""
    source: str


BUILT_IN = frozenset({"earthing"})
"""Rows that are how the model is built, and no value that could be another one: `grid/four_wire.py`."""


@dataclass(frozen=True, slots=True)
class PhaseAssumptions:
    """The values that the code reads. `dataclasses.replace` makes others of them, to see what they weigh."""

    line_r0_over_r1: float
    line_x0_over_x1: float
    line_c0_over_c1: float
    transformer_z0_over_z1: float
    transformer_z0_over_z1_without_delta: float
    vector_group: str
    single_phase_share: float


@cache
def assumptions_table() -> tuple[Assumption, ...]:
    """Every row, in the order of the file."""
    text = resources.files("grid").joinpath("phase_assumptions.toml").read_text(encoding="utf-8")
    return tuple(Assumption(name, **row) for name, row in tomllib.loads(text).items())


@cache
def phase_assumptions() -> PhaseAssumptions:
    """The values of the table."""
    values: dict[str, Any] = {row.name: row.value for row in assumptions_table() if row.name not in BUILT_IN}
    return PhaseAssumptions(**values)
