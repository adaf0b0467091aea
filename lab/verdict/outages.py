"""The interruptions that were injected, from truth_outages.json.

The file is a JSON object `{"outages": [...]}`; each entry has `start_s` (epoch seconds), `end_s` (the same, or null if
supply never came back), `customers` (how many usage points were dark), and optionally `device` and `kind` (text).
Momentary and sustained: IEEE 1366, 5 minutes.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lab.verdict.tables import TableError

MOMENTARY_AT_MOST_S = 300


class _Entry(BaseModel):
    model_config = ConfigDict(extra="ignore")
    start_s: Annotated[float, Field(allow_inf_nan=False)]
    end_s: Annotated[float, Field(allow_inf_nan=False)] | None = None
    customers: Annotated[int, Field(ge=0)]
    device: str = ""
    kind: str = ""


class _File(BaseModel):
    outages: list[_Entry]


@dataclass(frozen=True, slots=True)
class InjectedOutage:
    """`duration_s` runs to the end of the run if supply never came back; `end_s` is None then."""

    start_s: float
    end_s: float | None
    duration_s: float
    customers: int
    device: str
    kind: str

    @property
    def momentary(self) -> bool:
        return self.duration_s <= MOMENTARY_AT_MOST_S


def read_outages(path: Path, *, run_end_s: float) -> tuple[InjectedOutage, ...]:
    """Every interruption that began before `run_end_s` and left at least one customer dark, by time.

    Raises:
        TableError: the file is missing or is not what the module's header says.
    """
    try:
        entries = _File.model_validate(json.loads(path.read_text())).outages
    except FileNotFoundError as error:
        raise TableError([f"outages: {path} does not exist; did the run come to its end?"]) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise TableError([f"outages: {path} cannot be read as JSON: {error}"]) from error
    except ValidationError as error:
        raise TableError(
            [f"outages: {path}: {'.'.join(str(p) for p in e['loc']) or '(top)'}: {e['msg']}" for e in error.errors()]
        ) from error
    return tuple(
        InjectedOutage(
            start_s=e.start_s,
            end_s=e.end_s,
            duration_s=(run_end_s if e.end_s is None else e.end_s) - e.start_s,
            customers=e.customers,
            device=e.device,
            kind=e.kind,
        )
        for e in sorted(entries, key=lambda e: e.start_s)
        if e.customers > 0 and e.start_s < run_end_s
    )
