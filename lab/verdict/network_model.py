"""Whom each device darkens, from the run's network.json (docs/network-model.md), as far as meters can tell."""

import json
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from lab.errors import faults_of
from lab.verdict.tables import TableError


class _Device(BaseModel):
    model_config = ConfigDict(extra="ignore")
    id: str
    parent: str | None


class _UsagePoint(BaseModel):
    model_config = ConfigDict(extra="ignore")
    id: str
    device: str
    phases: list[str] | None = None


class _File(BaseModel):
    model_config = ConfigDict(extra="ignore")
    devices: list[_Device]
    usage_points: list[_UsagePoint]


@dataclass(frozen=True, slots=True)
class Network:
    """`parents` by device id; of usage points the device above, `feeding`, and their `phases`, where it says."""

    parents: dict[str, str | None]
    feeding: dict[str, str]
    phases: dict[str, frozenset[str]] = field(default_factory=dict)

    def reach(self, usage_points: Collection[str]) -> dict[str, frozenset[str]]:
        """Device id → those of `usage_points` that it darkens; devices that darken none of them are left out."""
        found: dict[str, set[str]] = defaultdict(set)
        for point in usage_points:
            at = self.feeding.get(point)
            while at is not None:
                found[at].add(point)
                at = self.parents.get(at)
        return {device: frozenset(points) for device, points in found.items()}

    def phases_told(self, mute: Collection[str]) -> dict[str, frozenset[str]]:
        """The phases of usage points whose loss anybody hears of. The meters of `mute` tell of no outage: one that has
        a single phase is missed at its poll, and one that lives on by another phase is not."""
        nothing: frozenset[str] = frozenset()
        silent = set(mute)
        return {point: nothing if point in silent and len(own) > 1 else own for point, own in self.phases.items()}


def read_network(path: Path) -> Network:
    """The network of a run.

    Raises:
        TableError: the file is missing or is not what its document says.
    """
    try:
        file = _File.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise TableError([f"network: {path} does not exist; did the run come to its end?"]) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise TableError([f"network: {path} cannot be read as JSON: {error}"]) from error
    except ValidationError as error:
        raise TableError([f"network: {path}: {fault}" for fault in faults_of(error)]) from error
    return Network(
        {device.id: device.parent for device in file.devices},
        {point.id: point.device for point in file.usage_points},
        {point.id: frozenset(point.phases) for point in file.usage_points if point.phases is not None},
    )
