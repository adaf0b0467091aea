"""run.json: what verdict and report need beside the run's tables, so that they can be made again later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from lab.errors import UserError
from lab.report import RunEvent
from lab.verdict.context import RunContext

RECORD_FILE = "run.json"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """`targets`: criterion id → the scenario's figure, where it has one of its own."""

    context: RunContext
    events: tuple[RunEvent, ...]
    targets: dict[str, float]


_FORM = TypeAdapter(RunRecord)


def write_record(
    directory: Path, context: RunContext, events: Sequence[RunEvent], targets: Mapping[str, float]
) -> None:
    """Write run.json to a run's directory."""
    record = RunRecord(context, tuple(events), dict(targets))
    (directory / RECORD_FILE).write_bytes(_FORM.dump_json(record, indent=2) + b"\n")


def read_record(directory: Path) -> RunRecord:
    """Raises UserError where there is none, or none that can be read."""
    path = directory / RECORD_FILE
    try:
        return _FORM.validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(
            [f"{path} does not exist"], "Name the directory of a run whose judged window has begun."
        ) from error
    except (OSError, ValidationError) as error:
        raise UserError([f"{path} cannot be read: {error}"], "Name the directory of a run.") from error
