"""Zero-sequence data of lines and transformers: as the net states them, and else by `grid.phase_assumptions`.

The zero sequence is what flows in all three phases alike and returns in the neutral. Its circuit is that of low
voltage only: a Dyn or Yzn transformer is an impedance from its low-voltage bus to earth, and lets nothing through to
medium voltage. With equal mutual couplings and the neutral earthed at the star point only, the neutral's own impedance
is ZN = (Z0 − Z1)/3, and V0 is against the neutral at the same place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid.phase_assumptions import PhaseAssumptions

Floats = NDArray[np.float64]

_GROUP = re.compile(r"(?P<high>(?:D|Y|Z)N?)(?P<low>(?:D|Y|Z)N?)\d*", re.IGNORECASE)


@dataclass(frozen=True, slots=True, eq=False)
class LineSequence:
    """Of the rows of `net.line`, for a kilometre of one of the parallel lines."""

    r0_ohm_per_km: Floats
    x0_ohm_per_km: Floats
    c0_nf_per_km: Floats


def line_zero_sequence(net: Any, assumed: PhaseAssumptions) -> LineSequence:
    """What the net states of each line, and else a multiple of the positive sequence."""
    line = net.line
    r0, x0 = _stated(line, "r0_ohm_per_km"), _stated(line, "x0_ohm_per_km")
    # Zeros in both are what other programs write where they know nothing.
    known = np.nan_to_num(r0) + np.nan_to_num(x0) > 0
    return LineSequence(
        np.where(known & ~np.isnan(r0), r0, assumed.line_r0_over_r1 * _column(line, "r_ohm_per_km")),
        np.where(known & ~np.isnan(x0), x0, assumed.line_x0_over_x1 * _column(line, "x_ohm_per_km")),
        _or_else(_stated(line, "c0_nf_per_km"), assumed.line_c0_over_c1 * _column(line, "c_nf_per_km")),
    )


def trafo_zero_sequence(net: Any, assumed: PhaseAssumptions) -> NDArray[np.complex128]:
    """Impedance (rows of `net.trafo`) from the low-voltage bus to earth, over the rated impedance of one transformer.

    A group without a neutral at low voltage is taken to be the assumed one; see `without_neutral`.
    """
    trafo = net.trafo
    vk, vkr = _column(trafo, "vk_percent"), _column(trafo, "vkr_percent")
    groups = vector_groups(net, assumed)
    # A delta or zigzag winding lets the zero sequence of the other side flow against nothing but leakage.
    carried = np.array([group.upper().startswith("D") or "ZN" in group.upper()[1:] for group in groups], dtype=bool)
    factor = np.where(carried, assumed.transformer_z0_over_z1, assumed.transformer_z0_over_z1_without_delta)
    stated = _stated(trafo, "vk0_percent")
    known = np.nan_to_num(stated) > 0
    # Without a delta the leakage that a net states is in series with the magnetising impedance, a multiple of it.
    through = np.where(carried, 1.0, 1.0 + np.nan_to_num(_stated(trafo, "mag0_percent")) / 100.0)
    z = np.where(known, stated * through, vk * factor)
    r = np.where(known, _or_else(_stated(trafo, "vkr0_percent"), vkr * stated / vk) * through, vkr * factor)
    return np.asarray((r + 1j * np.sqrt(np.maximum(z**2 - r**2, 0.0))) / 100.0)


def vector_groups(net: Any, assumed: PhaseAssumptions) -> list[str]:
    """Of each row of `net.trafo`: the net's own, or the assumed one where it states none or one without a neutral."""
    none = without_neutral(net)
    own = net.trafo["vector_group"] if "vector_group" in net.trafo else [None] * len(net.trafo)
    return [
        group if isinstance(group, str) and _GROUP.fullmatch(group) and not bare else assumed.vector_group
        for group, bare in zip(own, none, strict=True)
    ]


def without_neutral(net: Any) -> NDArray[np.bool_]:
    """Rows of `net.trafo` whose stated vector group has no neutral at the low-voltage side, or is none at all."""
    if "vector_group" not in net.trafo:
        return np.zeros(len(net.trafo), dtype=bool)
    groups = [group if isinstance(group, str) and group else None for group in net.trafo["vector_group"]]
    found = [None if group is None else _GROUP.fullmatch(group) for group in groups]
    return np.array(
        [
            group is not None and (match is None or "N" not in match["low"].upper())
            for group, match in zip(groups, found, strict=True)
        ],
        dtype=bool,
    )


def _column(frame: Any, name: str) -> Floats:
    return np.asarray(frame[name].to_numpy(dtype=np.float64))


def _stated(frame: Any, name: str) -> Floats:
    """NaN where the net says nothing."""
    return _column(frame, name) if name in frame else np.full(len(frame), np.nan)


def _or_else(stated: Floats, otherwise: Floats) -> Floats:
    return np.where(np.isnan(stated), otherwise, stated)
