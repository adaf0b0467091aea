"""What follows, at an instant, from what a meter measures of each phase: sums, means, angles, and the neutral. Pure.

Harmonics are no part of the physics of a run. So a distortion is amilab's own: drawn once for each meter and phase,
that of the voltage within what EN 50160 allows, that of the current as of households' power supplies, where it flows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meters.device.draws import Purpose, uniform
from meters.device.metrology import power_factor
from meters.device.quantities import PAIRS, PHASES, REGISTER_NAMES

Float = NDArray[np.float64]

VOLTAGE_THD_PERCENT, CURRENT_THD_PERCENT = (1.0, 4.0), (5.0, 25.0)
_WITHOUT_TRIPLES = 0.8
"""Between two phases harmonics whose order is a multiple of three cancel."""


def neutral_current(power_w: Float, reactive_var: Float, current_a: Float, angle_rad: Float) -> Float:
    """Of each meter (m,): the sum of its phase currents (m, 3) as phasors."""
    lag = np.arctan2(reactive_var, power_w)
    total: Float = np.abs((current_a * np.exp(1j * (angle_rad - lag))).sum(axis=1))
    return total


def circuit(
    power_w: Float, reactive_var: Float, voltage_v: Float, current_a: Float, angle_rad: Float
) -> dict[str, Float]:
    """Powers, voltages, currents and angles of each meter (m,) by name, from those of each phase (m, 3)."""
    phasors = voltage_v * np.exp(1j * angle_rad)
    between = {(one, other): np.abs(phasors[:, one - 1] - phasors[:, other - 1]) for one, other in PAIRS}
    active_w, reactive = power_w.sum(axis=1), reactive_var.sum(axis=1)
    return {
        "active_power_w": active_w,
        "reactive_power_var": reactive,
        "apparent_power_va": np.hypot(active_w, reactive),
        "power_factor": power_factor(active_w, reactive),
        **_of_phases("voltage", "_v", voltage_v),
        **_of_phases("current", "_a", current_a),
        **_of_phases("active_power", "_w", power_w),
        **_of_phases("reactive_power", "_var", reactive_var),
        **_of_phases("apparent_power", "_va", np.hypot(power_w, reactive_var)),
        **_of_phases("power_factor", "", power_factor(power_w, reactive_var)),
        **_of_phases("phase_angle", "_deg", np.degrees(np.arctan2(reactive_var, power_w))),
        "phase_angle_deg": np.degrees(np.arctan2(reactive, active_w)),
        "voltage_v": voltage_v.mean(axis=1),
        "voltage_ll_v": np.mean(list(between.values()), axis=0),
        **{f"voltage_l{one}_l{other}_v": volts for (one, other), volts in between.items()},
        "current_a": current_a.mean(axis=1),
        "current_sum_a": current_a.sum(axis=1),
        "neutral_current_a": neutral_current(power_w, reactive_var, current_a, angle_rad),
    }


def drawn_distortions(keys: NDArray[np.uint64]) -> Float:
    """In percent (n, 6), of the meters with these keys: of the voltages, then of the currents of L1 to L3."""
    limits = [VOLTAGE_THD_PERCENT] * len(PHASES) + [CURRENT_THD_PERCENT] * len(PHASES)
    return np.column_stack([uniform(keys, Purpose.DISTORTION, at, *each) for at, each in enumerate(limits)])


def distortions(drawn: Float, voltage_v: Float, current_a: Float) -> dict[str, Float]:
    """THD_NAMES of each meter (m,), from what it has `drawn`; 0 where there is no voltage, or no current (m, 3)."""
    volts = np.where(voltage_v > 0.0, drawn[:, : len(PHASES)], 0.0)
    amperes = np.where(current_a > 0.0, drawn[:, len(PHASES) :], 0.0)
    between = {(one, other): (volts[:, one - 1] + volts[:, other - 1]) / 2.0 * _WITHOUT_TRIPLES for one, other in PAIRS}
    return {
        **_of_phases("voltage_thd", "_percent", volts),
        **_of_phases("current_thd", "_percent", amperes),
        "voltage_thd_percent": volts.mean(axis=1),
        "current_thd_percent": amperes.mean(axis=1),
        **{f"voltage_thd_l{one}_l{other}_percent": percent for (one, other), percent in between.items()},
        "voltage_thd_ll_percent": np.mean(list(between.values()), axis=0),
    }


def registers(digits: Float, roll_over: int) -> dict[str, Float]:
    """REGISTER_NAMES and their sums of each meter (m,) by name, from `digits` (m, CHANNELS) of its display."""
    named = dict(zip(REGISTER_NAMES, digits.T, strict=True))
    quadrants = [named[f"reactive_q{quadrant}_varh"] for quadrant in (1, 2, 3, 4)]
    named["total_wh"] = (named["import_wh"] + named["export_wh"]) % roll_over
    named["reactive_import_varh"] = (quadrants[0] + quadrants[1]) % roll_over
    named["reactive_export_varh"] = (quadrants[2] + quadrants[3]) % roll_over
    named["reactive_total_varh"] = np.sum(quadrants, axis=0) % roll_over
    for phase in PHASES:
        named[f"total_l{phase}_wh"] = (named[f"import_l{phase}_wh"] + named[f"export_l{phase}_wh"]) % roll_over
        varh = named[f"reactive_import_l{phase}_varh"] + named[f"reactive_export_l{phase}_varh"]
        named[f"reactive_total_l{phase}_varh"] = varh % roll_over
    return named


def _of_phases(quantity: str, unit: str, values: Float) -> dict[str, Float]:
    return {f"{quantity}_l{phase}{unit}": values[:, phase - 1] for phase in PHASES}
