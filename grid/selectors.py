"""Seeded choice of the device that an event acts on, so that a scenario fits more than one feeder."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import cast

import numpy as np

from grid.feeder import DEVICE_KINDS, Device, DeviceKind, Feeder

_CRITERIA = ("customers", "id")


class SelectionError(ValueError):
    """No device fits; the message says what was wrong with the criteria, or what the feeder has."""


def select(
    feeder: Feeder,
    kind: str,
    criteria: Mapping[str, object],
    rng: np.random.Generator,
    *,
    exclude: Collection[str] = (),
) -> Device:
    """One device of `kind` that darkens usage points when it opens.

    Criteria: `{"id": "…"}` names it; `{"customers": [low, high]}` bounds (inclusively) the number of usage points that
    lose supply, those below a section included. A device that would darken a usage point in `exclude` (ids) is not
    chosen. A section that takes out a whole transformer is chosen only when no other fits.
    Raises SelectionError.
    """
    low, high = _bounds(feeder, kind, criteria)
    checked = cast(DeviceKind, kind)
    excluded = {feeder.position[name] for name in exclude if name in feeder.position}
    if "id" in criteria:
        device = Device(checked, str(criteria["id"]))
        overlap = excluded.intersection(feeder.darkened_by(device).tolist())
        if overlap:
            raise SelectionError(f"{kind} {device.id!r} would darken {len(overlap)} usage point(s) that are taken")
        return device
    reach = {device: feeder.darkened_by(device).tolist() for device in feeder.devices(checked)}
    fitting = [
        device
        for device, points in reach.items()
        if points and low <= len(points) <= high and excluded.isdisjoint(points)
    ]
    if not fitting:
        raise SelectionError(_nothing(kind, criteria, [len(points) for points in reach.values()], len(excluded)))
    if checked == "section":
        whole = [set(feeder.darkened_by(device).tolist()) for device in feeder.devices("transformer")]
        partial = [device for device in fitting if not any(t and t.issubset(reach[device]) for t in whole)]
        fitting = partial or fitting
    return fitting[int(rng.integers(len(fitting)))]


def _bounds(feeder: Feeder, kind: str, criteria: Mapping[str, object]) -> tuple[float, float]:
    faults = [f"unknown criterion {key!r}; known: {', '.join(_CRITERIA)}" for key in criteria if key not in _CRITERIA]
    if kind not in DEVICE_KINDS:
        raise SelectionError(f"unknown kind of device {kind!r}; known: {', '.join(DEVICE_KINDS)}")
    names = [device.id for device in feeder.devices(kind)]
    if "id" in criteria and criteria["id"] not in names:
        shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
        faults.append(f"feeder {feeder.name!r} has no {kind} {criteria['id']!r}; it has: {shown}")
    if "id" in criteria and "customers" in criteria:
        faults.append("'id' and 'customers' exclude each other")
    low, high = 1.0, float("inf")
    if "customers" in criteria:
        bounds = criteria["customers"]
        if (
            isinstance(bounds, list | tuple)
            and len(bounds) == 2
            and all(isinstance(bound, int) and not isinstance(bound, bool) for bound in bounds)
            and 1 <= bounds[0] <= bounds[1]
        ):
            low, high = bounds
        else:
            faults.append(f"'customers' is {bounds!r}; expected [low, high] with 1 <= low <= high")
    if faults:
        raise SelectionError("; ".join(faults))
    return low, high


def _nothing(kind: str, criteria: Mapping[str, object], customers: list[int], excluded: int) -> str:
    wanted = f" with {criteria['customers'][0]}–{criteria['customers'][1]} customers" if "customers" in criteria else ""  # type: ignore[index]  # checked by _bounds
    exists = sorted(count for count in customers if count)
    if not exists:
        return f"the feeder has no {kind} that supplies anybody"
    taken = f", apart from the {excluded} usage points that are taken" if excluded else ""
    return (
        f"no {kind}{wanted}{taken}: the feeder has {len(exists)} of them with {exists[0]} to {exists[-1]} customers "
        f"(median {exists[len(exists) // 2]})"
    )
