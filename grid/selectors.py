"""Seeded choice of the device that an event acts on, so that a scenario fits more than one feeder.

A range of customers is what the author of a scenario wishes for; small feeders may not have it. The rule then is:

1. never a device that darkens the whole feeder, one that darkens no meter, or one that must be left alone (`exclude`);
2. of the rest, rather one that shares no usage point with another event (`avoid`);
3. of those, the nearest to the range; a section that takes out a whole transformer only if no other is as near;
4. if there is no such device of the kind at all, the next smaller kind stands in for it.

What is not as the criteria say is in the choice's `remark`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from grid.conductors import ConductorError, check_breakable, is_breakable
from grid.feeder import DEVICE_KINDS, Conductor, Device, DeviceKind, Feeder
from grid.wording import counted

_CRITERIA = ("customers", "id")
_STAND_INS: dict[DeviceKind, tuple[DeviceKind, ...]] = {
    "transformer": ("section", "service"),
    "section": ("service",),
    "line": ("service",),
    "service": (),
}


class SelectionError(ValueError):
    """No device fits; the message says what was wrong with the criteria, or what the feeder has."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A device, and how it differs from what was asked for; `remark` is empty if it does not."""

    device: Device
    remark: str = ""


@dataclass(frozen=True, slots=True)
class _Candidate:
    device: Device
    shares: bool
    distance: float
    whole: bool
    """A section that takes out a whole transformer."""

    @property
    def rank(self) -> tuple[bool, float, bool]:
        return self.shares, self.distance, self.whole


def select(
    feeder: Feeder,
    kind: str,
    criteria: Mapping[str, object],
    rng: np.random.Generator,
    *,
    exclude: Collection[str] = (),
    avoid: Collection[str] = (),
    metered: Collection[str] | None = None,
    conductor: Conductor = "",
) -> Choice:
    """A device of `kind` that darkens usage points when it opens, by the rule of this module.

    Criteria: `{"id": "…"}` names it, and is only checked against `exclude`; `{"customers": [low, high]}` bounds
    (inclusively) the number of usage points that lose supply, those below a section included. `exclude`, `avoid` and
    `metered` (all, if not given) are usage points' ids. With a `conductor` the device is one that can open it alone.
    Raises SelectionError.
    """
    low, high = _bounds(feeder, kind, criteria)
    checked = cast(DeviceKind, kind)
    excluded, avoided = _mask(feeder, exclude), _mask(feeder, avoid)
    if "id" in criteria:
        device = Device(checked, str(criteria["id"]), conductor)
        try:
            check_breakable(feeder, device)
        except ConductorError as error:
            raise SelectionError(str(error)) from error
        overlap = int(excluded[feeder.darkened_by(device)].sum())
        if overlap:
            raise SelectionError(f"{kind} {device.id!r} would darken {_taken(overlap)}")
        return Choice(device)
    seen = np.ones_like(excluded) if metered is None else _mask(feeder, metered)
    for stand_in in (checked, *_STAND_INS[checked]):
        candidates = _candidates(feeder, stand_in, (low, high), excluded, avoided, seen, conductor)
        if candidates:
            best = min(candidate.rank for candidate in candidates)
            nearest = [candidate for candidate in candidates if candidate.rank == best]
            chosen = nearest[int(rng.integers(len(nearest)))]
            return Choice(chosen.device, _remark(checked, chosen, low, high))
    alone = "with conductors that open one by one " if conductor else ""
    raise SelectionError(_nothing(feeder, checked, int(excluded.sum()), alone))


def _mask(feeder: Feeder, names: Collection[str]) -> NDArray[np.bool_]:
    mask = np.zeros(len(feeder.usage_points), dtype=bool)
    mask[[feeder.position[name] for name in names if name in feeder.position]] = True
    return mask


def _candidates(
    feeder: Feeder,
    kind: DeviceKind,
    bounds: tuple[float, float],
    excluded: NDArray[np.bool_],
    avoided: NDArray[np.bool_],
    seen: NDArray[np.bool_],
    conductor: Conductor,
) -> list[_Candidate]:
    low, high = bounds
    wholes = [feeder.darkened_by(device) for device in feeder.devices("transformer")] if kind == "section" else []
    # What two devices of one tree darken is nested or disjoint: the first usage point and the number tell which.
    first = np.array([points[0] for points in wholes if len(points)], dtype=np.intp)
    size = np.array([len(points) for points in wholes if len(points)], dtype=np.intp)
    candidates = []
    for whole in feeder.devices(kind):
        device, points = Device(whole.kind, whole.id, conductor), feeder.darkened_by(whole)
        count = len(points)
        if not 0 < count < len(seen) or excluded[points].any() or not seen[points].any():
            continue
        if not is_breakable(feeder, device):
            continue
        inside = np.isin(first, points, kind="sort") if len(first) else np.zeros(0, dtype=bool)
        candidates.append(
            _Candidate(
                device,
                shares=bool(avoided[points].any()),
                distance=max(low - count, count - high, 0.0),
                whole=bool((inside & (size <= count)).any()),
            )
        )
    return candidates


def _remark(kind: DeviceKind, chosen: _Candidate, low: float, high: float) -> str:
    remarks = []
    wanted = "" if (low, high) == (1.0, np.inf) else f"{low:,.0f}–{high:,.0f} customers"
    if chosen.device.kind != kind:
        remarks.append(f"in place of a {kind}" + (f" with {wanted}" if wanted else ""))
    elif chosen.distance > 0:
        remarks.append(f"the nearest to {wanted}")
    if chosen.shares:
        remarks.append("some of whom another event hits, too")
    return ", ".join(remarks)


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


def _taken(count: int) -> str:
    return counted(count, "usage point that is taken", "usage points that are taken")


def _nothing(feeder: Feeder, kind: DeviceKind, excluded: int, alone: str) -> str:
    exists = sorted(count for device in feeder.devices(kind) if (count := len(feeder.darkened_by(device))))
    taken = f" and spares the {_taken(excluded)}" if excluded else ""
    has = (
        f"{len(exists)} of them with {exists[0]} to {counted(exists[-1], 'customer')}"
        if exists
        else "none that supplies anybody"
    )
    return (
        f"no {kind}, nor anything smaller, {alone}darkens a meter but not the whole feeder{taken}; "
        f"the feeder has {has}, and {counted(len(feeder.usage_points), 'usage point')} in all"
    )
