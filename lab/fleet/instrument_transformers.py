"""Instrument transformers that a scenario names: usage points whose meters count the secondary."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from lab.errors import UserError
from lab.fleet.shipment import ShippedMeter

RATIO_PATTERN = r"^[1-9][0-9]{0,4}/[1-9][0-9]{0,2}$"
_MOST = 10_000.0
_PHASES, _NOMINAL_V = 3, 230.0


def checked_ratio(text: str) -> str:
    """A ratio as a rating plate has it, primary by secondary. Raises ValueError."""
    if re.fullmatch(RATIO_PATTERN, text) is None or not 1.0 <= ratio_of(text) <= _MOST:
        raise ValueError(f'{text!r} is no ratio: write primary by secondary, from 1 to 10,000, for instance "200/5"')
    return text


def ratio_of(text: str) -> float:
    primary, secondary = text.split("/")
    return int(primary) / int(secondary)


def behind_transformers(
    meters: Sequence[ShippedMeter],
    current: Mapping[str, str],
    voltage: Mapping[str, str],
    largest_w: Mapping[str, float],
) -> list[ShippedMeter]:
    """The same meters, those of the named usage points behind their transformers; ratios by usage point.

    :param largest_w: what each usage point can take at most, with a meter or without one.
    Raises UserError: no such usage point, or one without a meter; voltage transformers alone; too much load.
    """
    known = {meter.usage_point for meter in meters}
    faults = [
        f"{point!r} has no meter that could be behind transformers"
        if point in largest_w
        else f"there is no usage point {point!r}"
        for point in sorted({*current, *voltage} - known)
    ]
    faults += [
        f"{point!r} has voltage transformers and no current transformers" for point in sorted({*voltage} - {*current})
    ]
    for point in sorted({*current} & known):
        primary_a, wanted_a = int(current[point].split("/")[0]), largest_w[point] / (_PHASES * _NOMINAL_V)
        if wanted_a > primary_a:
            faults.append(f"{point!r} may take {wanted_a:.0f} A in each phase: too much for {current[point]} A")
    if faults:
        raise UserError(faults, "Change current_transformers and voltage_transformers in [fleet].")
    return [
        replace(
            meter,
            max_current_a=float(current[meter.usage_point].split("/")[0]),
            current_ratio=ratio_of(current[meter.usage_point]),
            voltage_ratio=ratio_of(voltage.get(meter.usage_point, "1/1")),
        )
        if meter.usage_point in current
        else meter
        for meter in meters
    ]
