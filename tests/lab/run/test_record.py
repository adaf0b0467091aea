"""A finished run can be judged and reported again from its directory alone."""

import subprocess
import sys
from pathlib import Path

import pytest

from lab.errors import UserError
from lab.report import RunEvent
from lab.run.record import read_record, write_record
from tests.lab.verdict.synthetic import START_S, Run, make_run

EVENTS = (RunEvent(START_S + 60.5, "kill", "broker", START_S + 90.0), RunEvent(START_S + 120.0, "reboot", "one"))
TARGETS = {"reads.success_rate": 0.5}


def finished(run: Run, directory: Path) -> Path:
    run_dir = run.write(directory)
    write_record(run_dir, run.context(rejected_frames=None, ingest=None), EVENTS, TARGETS)
    return run_dir


def test_what_was_written_is_read(tmp_path: Path) -> None:
    run = make_run(3, 4)
    record = read_record(finished(run, tmp_path / "run"))
    assert record.context == run.context(rejected_frames=None, ingest=None)
    assert record.events == EVENTS
    assert record.targets == TARGETS


def test_the_command_has_the_verdicts_exit_status(tmp_path: Path) -> None:
    run = make_run(3, 4)
    run.drop("stored", [5])
    run_dir = finished(run, tmp_path / "run")
    done = subprocess.run(
        [sys.executable, "-m", "lab.commands.main", "judge", run_dir], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1, done.stderr
    assert str(run_dir / "report.html") in done.stdout.replace("\n", "")


@pytest.mark.parametrize("content", [None, "{", '{"context": 1}'])
def test_a_directory_of_no_run_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(UserError, match=r"run\.json"):
        read_record(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "lab.commands.main", "judge", tmp_path], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
