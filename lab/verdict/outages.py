"""The interruptions that were injected, from truth_outages.json.

The file is a JSON list of `{"id", "device_kind", "device", "conductor", "from", "to", "usage_points"}`: ISO 8601 with
offset, `to` null if supply never came back, `usage_points` the list of those that went dark; `conductor` is which one
was open (`L1`, `L2`, `L3`, `N`), null or absent for all of them. Momentary and sustained: IEEE 1366.
"""

import json
import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, RootModel, ValidationError

from lab.errors import faults_of
from lab.verdict.tables import TableError

MOMENTARY_AT_MOST_S = 300
"""IEEE Std 1366-2022, 3: a sustained interruption is any that is not momentary, one of more than five minutes."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="ignore")
    device_kind: str
    device: str
    conductor: str | None = None
    begin: AwareDatetime = Field(alias="from")
    end: AwareDatetime | None = Field(alias="to")
    usage_points: list[str]


class _File(RootModel[list[_Entry]]):
    pass


@dataclass(frozen=True, slots=True)
class InjectedOutage:
    """Times are epoch seconds. Where supply never came back, `end_s` is None and `duration_s` runs to the end."""

    start_s: float
    end_s: float | None
    duration_s: float
    usage_points: frozenset[str]
    device: str
    kind: str
    conductor: str | None = None

    @property
    def over_s(self) -> float:
        """When supply came back; inf where it never did."""
        return math.inf if self.end_s is None else self.end_s

    @property
    def customers(self) -> int:
        return len(self.usage_points)

    @property
    def device_id(self) -> str:
        """As in the network model (docs/network-model.md)."""
        return f"{self.kind}:{self.device}"

    @property
    def momentary(self) -> bool:
        return self.duration_s <= MOMENTARY_AT_MOST_S


def read_outages(path: Path, *, run_end_s: float) -> tuple[InjectedOutage, ...]:
    """Every interruption that began before `run_end_s` and left at least one customer dark, by time.

    Raises:
        TableError: the file is missing or is not what the module's header says.
    """
    try:
        entries = _File.model_validate(json.loads(path.read_text(encoding="utf-8"))).root
    except FileNotFoundError as error:
        raise TableError([f"outages: {path} does not exist; did the run come to its end?"]) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise TableError([f"outages: {path} cannot be read as JSON: {error}"]) from error
    except ValidationError as error:
        raise TableError([f"outages: {path}: {fault}" for fault in faults_of(error)]) from error
    return tuple(
        _injected(entry, run_end_s)
        for entry in sorted(entries, key=lambda entry: entry.begin)
        if entry.usage_points and entry.begin.timestamp() < run_end_s
    )


def at_meters(outages: Iterable[InjectedOutage], usage_points: Collection[str]) -> tuple[InjectedOutage, ...]:
    """The interruptions as far as meters could see them; those of which they could see nothing are left out."""
    metered = frozenset(usage_points)
    seen = (replace(outage, usage_points=outage.usage_points & metered) for outage in outages)
    return tuple(outage for outage in seen if outage.usage_points)


def _injected(entry: _Entry, run_end_s: float) -> InjectedOutage:
    start_s = entry.begin.timestamp()
    end_s = None if entry.end is None else entry.end.timestamp()
    return InjectedOutage(
        start_s=start_s,
        end_s=end_s,
        duration_s=(run_end_s if end_s is None else end_s) - start_s,
        usage_points=frozenset(entry.usage_points),
        device=entry.device,
        kind=entry.device_kind,
        conductor=entry.conductor,
    )
