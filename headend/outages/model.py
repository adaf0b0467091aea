"""The network as the utility exports it (docs/network-model.md), and its classes of devices.

Devices whose opening darkens the same registered meters form one class. Classes form a forest; meters are laid out so
that those of a class are one slice.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headend.errors import NetworkModelError, faults_of

SCHEMA_VERSION = 1
_SHOWN_FAULTS = 50
NOBODY = -1

Name = Annotated[str, Field(min_length=1, max_length=500)]
Position = tuple[
    Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)],
    Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)],
]
"""Longitude and latitude, WGS 84 degrees."""
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Strict(BaseModel):
    # What a later release of the file adds is none of our business.
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class _Device(_Strict):
    id: Name
    kind: Name
    parent: Name | None
    # In JSON there are no tuples: a strict one would refuse an array.
    position: Annotated[Position, Field(strict=False)] | None = None
    rated_kva: Positive | None = None


class _UsagePoint(_Strict):
    id: Name
    device: Name
    position: Annotated[Position, Field(strict=False)] | None = None
    nominal_voltage_v: Positive | None = None
    phases: Annotated[list[Literal["L1", "L2", "L3"]], Field(min_length=1)] | None = None


class _File(_Strict):
    schema_version: int = Field(alias="schema")
    devices: list[_Device]
    usage_points: list[_UsagePoint]


@dataclass(frozen=True, slots=True)
class NetworkModel:
    """`kinds` and `parents` by device id; `feeding`: the device above each usage point. Consistent, no circles.

    The others where the file has them: `positions` of devices and `places` of usage points, `rated_kva` of
    transformers, `nominal_voltage_v` of usage points, between line and neutral; `phases` of usage points.
    """

    kinds: dict[str, str] = field(default_factory=dict)
    parents: dict[str, str | None] = field(default_factory=dict)
    feeding: dict[str, str] = field(default_factory=dict)
    positions: dict[str, Position] = field(default_factory=dict)
    places: dict[str, Position] = field(default_factory=dict)
    rated_kva: dict[str, float] = field(default_factory=dict)
    nominal_voltage_v: dict[str, float] = field(default_factory=dict)
    phases: dict[str, frozenset[str]] = field(default_factory=dict)

    def transformer_of(self, usage_point: str) -> str | None:
        """The nearest transformer above it; None where there is none."""
        at = self.feeding.get(usage_point)
        while at is not None and self.kinds[at] != "transformer":
            at = self.parents[at]
        return at


def read_network_model(path: Path) -> NetworkModel:
    """Read the file. Raises NetworkModelError naming every fault."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise NetworkModelError(f"cannot read the network model {path}: {error.strerror}") from error
    try:
        file = _File.model_validate_json(content)
    except ValidationError as error:
        raise _refuse(path, faults_of(error)) from error
    faults: list[str] = []
    if file.schema_version != SCHEMA_VERSION:
        raise _refuse(path, [f"schema is {file.schema_version}, this release reads {SCHEMA_VERSION}"])
    faults += _repeated("device", [device.id for device in file.devices])
    faults += _repeated("usage point", [point.id for point in file.usage_points])
    kinds = {device.id: device.kind for device in file.devices}
    parents = {device.id: device.parent for device in file.devices}
    faults += [
        f"device {name}: its parent {parent} does not exist"
        for name, parent in parents.items()
        if parent is not None and parent not in kinds
    ]
    faults += [
        f"usage point {point.id}: its device {point.device} does not exist"
        for point in file.usage_points
        if point.device not in kinds
    ]
    faults += _circles(parents)
    if faults:
        raise _refuse(path, faults)
    devices, points = file.devices, file.usage_points
    return NetworkModel(
        kinds,
        parents,
        {point.id: point.device for point in points},
        positions={device.id: device.position for device in devices if device.position is not None},
        places={point.id: point.position for point in points if point.position is not None},
        rated_kva={device.id: device.rated_kva for device in devices if device.rated_kva is not None},
        nominal_voltage_v={p.id: p.nominal_voltage_v for p in points if p.nominal_voltage_v is not None},
        phases={p.id: frozenset(p.phases) for p in points if p.phases is not None},
    )


def _refuse(path: Path, faults: Sequence[str]) -> NetworkModelError:
    shown = [*faults[:_SHOWN_FAULTS]]
    if len(faults) > _SHOWN_FAULTS:
        shown.append(f"… and {len(faults) - _SHOWN_FAULTS} more")
    return NetworkModelError(
        f"the network model {path} has {len(faults)} faults; export it again (docs/network-model.md):\n  "
        + "\n  ".join(shown)
    )


def _repeated(what: str, names: Sequence[str]) -> list[str]:
    counts: dict[str, int] = defaultdict(int)
    for name in names:
        counts[name] += 1
    return [f"{what} {name} occurs {count} times" for name, count in counts.items() if count > 1]


def _circles(parents: dict[str, str | None]) -> list[str]:
    """One fault for each circle."""
    faults = []
    sound: set[str | None] = {None}
    for name in parents:
        way: list[str] = []
        on_way: set[str] = set()
        at: str | None = name
        while at is not None and at not in sound and at not in on_way:
            way.append(at)
            on_way.add(at)
            at = parents.get(at)
        if at is not None and at in on_way:
            circle = way[way.index(at) :]
            faults.append(f"devices feed each other in a circle: {' → '.join([*circle[:10], at])}")
        sound.update(way)
    return faults


@dataclass(frozen=True, slots=True, eq=False)
class Classes:
    """The classes over n meters; parents come before their children.

    `order` (n,): the meter at each place. `place` (n,): the place of each meter. Class c holds the places
    [`first[c]`, `end[c]`); `parent[c]` is NOBODY at the top. `leaf` (n,): the class of each meter's own connection, of
    one meter, without devices where the model has none.
    """

    order: NDArray[np.intp]
    place: NDArray[np.intp]
    first: NDArray[np.intp]
    end: NDArray[np.intp]
    parent: NDArray[np.intp]
    leaf: NDArray[np.intp]
    devices: tuple[tuple[str, ...], ...]

    def members(self, index: int) -> NDArray[np.intp]:
        """The meters of a class."""
        return self.order[self.first[index] : self.end[index]]

    def ancestors(self, index: int) -> list[int]:
        """The class itself and those above it, upwards."""
        way = []
        at = index
        while at != NOBODY:
            way.append(at)
            at = int(self.parent[at])
        return way


def classes_of(model: NetworkModel, usage_points: Sequence[str]) -> Classes:
    """The classes for meters at these usage points (one meter each, in the order of the meter index)."""
    below: dict[str | None, list[str]] = defaultdict(list)
    for device, parent in model.parents.items():
        below[parent].append(device)
    here: dict[str | None, list[int]] = defaultdict(list)
    for meter, point in enumerate(usage_points):
        here[model.feeding.get(point)].append(meter)
    counts: dict[str, int] = {}
    for device in _bottom_up(below):
        counts[device] = len(here[device]) + sum(counts[child] for child in below[device])

    forest = _Forest(len(usage_points))
    # Depth first without recursion: a string of lines may be longer than Python's stack.
    stack: list[tuple[str, int, bool]] = [(name, NOBODY, False) for name in reversed(below[None])]
    while stack:
        name, at, done = stack.pop()
        if done:
            forest.close(at)
            continue
        if not counts[name]:
            continue
        if at == NOBODY or counts[name] != counts[forest.devices[at][-1]]:
            at = forest.open(at)
            stack.append((name, at, True))
        forest.devices[at].append(name)
        forest.hang(here[name], at, alone=counts[name] == 1)
        stack.extend((child, at, False) for child in reversed(below[name]))
    forest.hang(here[None], NOBODY, alone=False)
    return forest.classes()


class _Forest:
    """Classes as they are found, from the top."""

    def __init__(self, meters: int) -> None:
        self._order: list[int] = []
        self._first: list[int] = []
        self._end: list[int] = []
        self._parents: list[int] = []
        self._leaf = np.full(meters, NOBODY, dtype=np.intp)
        self.devices: list[list[str]] = []

    def open(self, parent: int) -> int:
        """A class below another one; what is hung from now on until it is closed belongs to it."""
        self._first.append(len(self._order))
        self._end.append(NOBODY)
        self._parents.append(parent)
        self.devices.append([])
        return len(self._first) - 1

    def close(self, index: int) -> None:
        self._end[index] = len(self._order)

    def hang(self, meters: Sequence[int], at: int, *, alone: bool) -> None:
        """Meters at a device of class `at`. Each has a class of its own below, but one that is `alone` in `at`."""
        for meter in meters:
            own = at if alone else self.open(at)
            self._leaf[meter] = own
            self._order.append(meter)
            self.close(own)

    def classes(self) -> Classes:
        order = np.array(self._order, dtype=np.intp)
        place = np.empty(len(order), dtype=np.intp)
        place[order] = np.arange(len(order))
        return Classes(
            order=order,
            place=place,
            first=np.array(self._first, dtype=np.intp),
            end=np.array(self._end, dtype=np.intp),
            parent=np.array(self._parents, dtype=np.intp),
            leaf=self._leaf,
            devices=tuple(map(tuple, self.devices)),
        )


def _bottom_up(below: dict[str | None, list[str]]) -> list[str]:
    top_down = list(below[None])
    for name in top_down:
        # The list grows while it is read: level by level.
        top_down.extend(below[name])
    return top_down[::-1]
