"""run.json: what a report needs beside the run's tables, so that it can be made again later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from lab.errors import UserError
from lab.report import RunEvent, write_report
from lab.verdict.context import RunContext
from lab.verdict.verdict import Verdict, judge_run

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
        raise UserError([f"{path} does not exist"], "Name the directory of a run that came to its end.") from error
    except (OSError, ValidationError) as error:
        raise UserError([f"{path} cannot be read: {error}"], "Name the directory of a run.") from error


def judge_again(directory: Path) -> tuple[Verdict, Path]:
    """Judge the tables of a finished run once more and write its verdict and report anew; returns the report's path.

    :raises UserError: the run's files cannot be judged.
    """
    record = read_record(directory)
    verdict = judge_run(directory, record.context, targets=record.targets)
    return verdict, write_report(directory, verdict, record.events)
