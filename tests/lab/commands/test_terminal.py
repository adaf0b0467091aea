"""What a terminal cannot show, or nobody reads, costs neither the output nor the exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.run.record import write_record
from tests.lab.verdict.synthetic import Run, make_run

LATIN = {"PYTHONIOENCODING": "latin-1"}
ASCII = {"PYTHONIOENCODING": "ascii"}
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def over(run: Run, directory: Path) -> Path:
    run_dir = run.write(directory)
    write_record(run_dir, run.context(), (), {})
    return run_dir


def command(*arguments: str | Path, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "lab.commands.main", *map(str, arguments)],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize("environment", [LATIN, ASCII, C_LOCALE])
@pytest.mark.parametrize("lost", [0, 3])
def test_a_verdict_is_shown_in_any_encoding(tmp_path: Path, environment: dict[str, str], lost: int) -> None:
    run = make_run(3, 6)
    run.drop("stored", list(range(lost)))
    process = command("judge", over(run, tmp_path / "run"), **environment)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == (1 if lost else 0), errors
    assert b"Traceback" not in errors
    assert ("FAILED" if lost else "PASSED") in output.decode("latin-1")
    assert b"reads.identical_rate" in output
    # a real fall-back, not a question mark
    assert (b"x  reads.lost" if lost else b"+  reads.lost") in output


def test_a_refusal_is_shown_in_any_encoding(tmp_path: Path) -> None:
    process = command("judge", tmp_path / "größe-→", **ASCII)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert b"gr??e" in errors
    assert b"Traceback" not in errors


@pytest.mark.parametrize("lost", [0, 3])
def test_who_stops_reading_does_not_change_the_exit_code(tmp_path: Path, lost: int) -> None:
    run = make_run(3, 6)
    run.drop("stored", list(range(lost)))
    process = command("judge", over(run, tmp_path / "run"))
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    assert process.wait(timeout=120) == (1 if lost else 0), errors
    assert errors == b""
    assert (tmp_path / "run" / "verdict.json").exists()
