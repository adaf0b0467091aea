"""A run that is over is judged again, from its directory alone: the run took hours, its verdict takes seconds.

What a verdict was and what it was made from is never overwritten: before the next one is written, it goes to
`judgement-1`, `judgement-2` … in the run's directory.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from lab.headends.files import HEADEND_FILES
from lab.headends.stored_source import LookedAt, StoredSource, fetch_stored
from lab.report import LATENCIES, REPORT_FILES, interruptions_of, write_report
from lab.run.record import RECORD_FILE, read_record, write_record
from lab.verdict.context import EXTERNAL, RunContext
from lab.verdict.judge_files import VERDICT_FILES, judge_files, write_verdict
from lab.verdict.read_run import around_file
from lab.verdict.tables import DETECTED_FILE
from lab.verdict.verdict import Verdict

STORED_FILE = "stored.parquet"
_OF_THE_HEAD_END = (DETECTED_FILE, *HEADEND_FILES, LATENCIES)
"""What the run's own head-end said beside its readings: it says nothing of somebody else's."""


@dataclass(frozen=True, slots=True)
class Judged:
    """`former`: where the verdict before is now, if there was one."""

    verdict: Verdict
    report: Path
    former: Path | None


def judge_again(directory: Path, fresh: tuple[StoredSource, LookedAt] | None = None) -> Judged:
    """Judge a run's tables and write verdict and report anew.

    :param fresh: where to fetch first what is stored, and what `check` found there.
    :raises UserError: the run's files, or what is stored, cannot be judged. Then nothing in the directory has changed.
    """
    directory = directory.resolve()
    record = read_record(directory)
    context, fetched = record.context, directory / f".fetched-{STORED_FILE}"
    try:
        if fresh is not None:
            source, looked_at = fresh
            context = _of_somebody_else(context, looked_at.version)
            fetch_stored(source, fetched, start_s=context.clock.start_s, end_s=context.clock.end_s)
        verdict = judge_files(
            directory,
            context,
            targets=record.targets,
            stored=fetched if fresh else None,
            interruptions=interruptions_of(record.events),
        )
        former = _set_aside(directory, replaced=fresh is not None)
        if fresh is not None:
            fetched.replace(directory / STORED_FILE)
            if around_file(fetched).exists():
                around_file(fetched).replace(around_file(directory / STORED_FILE))
    finally:
        for path in (fetched, around_file(fetched)):
            path.unlink(missing_ok=True)
    write_verdict(verdict, directory)
    write_record(directory, context, record.events, record.targets)
    return Judged(verdict, write_report(directory, verdict, record.events), former)


def _of_somebody_else(context: RunContext, version: str) -> RunContext:
    host = replace(context.host, database=f"{EXTERNAL}: {version}", timescaledb=None)
    return replace(context, host=host, headend=EXTERNAL, ingest=None, rejected_frames=None)


def _set_aside(directory: Path, *, replaced: bool) -> Path | None:
    """Keep the verdict that is there, and what it was made from, in a directory of its own; returns that."""
    if not any(os.path.lexists(directory / name) for name in (*VERDICT_FILES, *REPORT_FILES)):
        return None
    number = 1
    while (directory / f"judgement-{number}").exists():
        number += 1
    former = directory / f"judgement-{number}"
    former.mkdir()
    for name in (STORED_FILE, RECORD_FILE):
        if (directory / name).exists():
            shutil.copy2(directory / name, former / name)
    replacing = (around_file(Path(STORED_FILE)).name, *_OF_THE_HEAD_END) if replaced else ()
    for name in (*VERDICT_FILES, *REPORT_FILES, *replacing):
        if os.path.lexists(directory / name):
            (directory / name).rename(former / name)
    return former
