"""Sweeps whose runs are a program that leaves a verdict as told."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.errors import UserError
from lab.sweep.cases import Case, seed_by_seed
from lab.sweep.results import RESULTS_FILE, Missed, Result, Results
from lab.sweep.sweep import sweep

RUN = """
import json, os, sys, time
from pathlib import Path

given = dict(zip(sys.argv[5::2], sys.argv[6::2]))
assert sys.argv[1:5] == ["-m", "lab.commands.main", "run", "quickstart"], sys.argv
here, seed, out = Path(__file__).parent, int(given["--seed"]), Path(given["--out"])
with (here / "asked").open("a") as asked:
    asked.write(f"{given['--fleet']} {seed} {given.get('--network')}\\n")
if (here / "slow").exists():
    (here / "new").write_text(str(os.getpid()))
    (here / "new").rename(here / "started")
    time.sleep(600)
if seed == 2:
    print("no such fleet")
    sys.exit(2)
if seed == 4:
    sys.exit(1)
if seed == 3:
    print("a part crashed")
    sys.exit(3)
passed = seed != 13 or (here / "mended").exists()
run = out / f"quickstart-{seed}"
run.mkdir()
lost = {"id": "reads.lost", "target": "== 0", "value": 0 if passed else 4, "passed": passed}
criteria = [lost, {"id": "outages.recall", "target": "== 1", "value": 1.0 if passed else None, "passed": passed}]
(run / "verdict.json").write_text(json.dumps({"criteria": criteria, "reads": {"expected": 96, "lost": lost["value"]}}))
(out / "latest").symlink_to(run.name)
sys.exit(0 if passed else 1)
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of what stands in for `amilab run`."""
    directory = tmp_path / "program"
    directory.mkdir()
    (directory / "run.py").write_text(RUN)
    monkeypatch.setattr(
        "lab.sweep.sweep.python", lambda *arguments: [sys.executable, str(directory / "run.py"), *arguments]
    )
    return directory


def asked(program: Path) -> list[str]:
    return (program / "asked").read_text().splitlines()


def swept(cases: list[Case], out: Path, jobs: int = 1) -> list[Result]:
    out.mkdir(exist_ok=True)
    told: list[Result] = []
    asyncio.run(sweep(cases, out, Results(out / RESULTS_FILE), jobs, told.append))
    return told


def test_each_case_is_run_and_only_what_failed_is_kept(program: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    cases = seed_by_seed("quickstart", ["mesh", "plc"], (1, 13), ["--network", "radio"])
    told = swept(cases, out, jobs=2)
    assert sorted(asked(program)) == ["mesh 1 radio", "mesh 13 radio", "plc 1 radio", "plc 13 radio"]
    assert {(result.case.seed, result.passed) for result in told} == {(1, True), (13, False)}
    kept = {path.name for path in out.iterdir() if path.is_dir()}
    assert kept == {case.directory_name for case in cases if case.seed == 13}
    failed = next(result for result in told if not result.passed)
    assert [str(missed) for missed in failed.missed] == [
        "reads.lost 4 (== 0)",
        "outages.recall not measured (== 1)",
    ]
    assert failed.directory is not None
    assert (Path(failed.directory) / "latest" / "verdict.json").is_file()


def test_a_sweep_goes_on_where_it_was_stopped_and_a_run_without_a_verdict_is_made_again(
    program: Path, tmp_path: Path
) -> None:
    out, cases = tmp_path / "out", seed_by_seed("quickstart", ["mesh"], (1, 3, 13))
    assert [result.word for result in swept(cases, out)] == ["passed", "no verdict (exit code 3)", "failed"]
    with (out / RESULTS_FILE).open("ab") as file:
        file.write(b'{"case": {"scenario": "qui')
    again = swept([*cases, Case("quickstart", "plc", 1)], out)
    assert [(result.case.fleet, result.case.seed) for result in again] == [("mesh", 3), ("plc", 1)]
    assert len(asked(program)) == 5
    assert [result.word for result in Results(out / RESULTS_FILE).of(cases)] == [
        "passed", "no verdict (exit code 3)", "failed",
    ]  # fmt: skip
    with_other_arguments = [Case("quickstart", "mesh", 1, ("--network", "none"))]
    assert len(swept(with_other_arguments, out)) == 1


def test_a_run_that_passes_takes_nothing_of_one_that_failed_with_other_options(program: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (failed,) = swept([Case("quickstart", "mesh", 13)], out)
    (program / "mended").touch()
    (passed,) = swept([Case("quickstart", "mesh", 13, ("--network", "none"))], out)
    assert passed.passed
    assert failed.directory is not None
    assert (Path(failed.directory) / "latest" / "verdict.json").is_file()


def test_a_run_that_is_refused_ends_the_sweep_with_its_words(program: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"mesh, seed 2: no such fleet"):
        swept(seed_by_seed("quickstart", ["mesh"], (1, 2, 4)), tmp_path / "out")
    assert asked(program) == ["mesh 1 None", "mesh 2 None"]


@pytest.mark.parametrize(
    ("second", "kind", "words"),
    [
        (UserError("mesh, seed 2: no such meter"), UserError, "(?s)(?=.*no such fleet)(?=.*no such meter)"),
        (ValueError("no JSON"), ExceptionGroup, "unhandled errors"),
    ],
)
def test_of_runs_that_fail_at_once_all_refusals_are_told_and_no_error_is_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second: Exception, kind: type[Exception], words: str
) -> None:
    both = asyncio.Barrier(2)

    async def fail(case: Case, _out: Path, _lock: int) -> Result:
        await both.wait()
        raise UserError("mesh, seed 1: no such fleet") if case.seed == 1 else second

    monkeypatch.setattr("lab.sweep.sweep._run", fail)
    with pytest.raises(kind, match=words):
        swept(seed_by_seed("quickstart", ["mesh"], (1, 2)), tmp_path / "out", jobs=2)


def test_a_refusal_says_what_to_do_as_a_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_case: Case, _out: Path, _lock: int) -> Result:
        raise UserError(["the disk is full", "so is the other"], "Free some space.")

    monkeypatch.setattr("lab.sweep.sweep._run", fail)
    with pytest.raises(UserError) as refused:
        swept([Case("quickstart", "mesh", 1)], tmp_path / "out")
    assert (refused.value.faults, refused.value.hint) == (("the disk is full", "so is the other"), "Free some space.")


def test_a_sweep_that_is_interrupted_ends_its_runs_and_says_nothing_of_them(program: Path, tmp_path: Path) -> None:
    (program / "slow").touch()
    out = tmp_path / "out"
    out.mkdir()
    results = Results(out / RESULTS_FILE)

    async def interrupted() -> None:
        running = asyncio.create_task(sweep([Case("quickstart", "mesh", 1)], out, results, 1, lambda _: None))
        async with asyncio.timeout(60):
            while not (program / "started").exists():  # noqa: ASYNC110 - another process makes it
                await asyncio.sleep(0.02)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running

    asyncio.run(interrupted())
    assert not (out / RESULTS_FILE).exists()


@pytest.mark.parametrize("line", ["{}", "nonsense", json.dumps({"case": 1})])
def test_a_line_that_is_no_result_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / RESULTS_FILE).write_text(f"{line}\n")
    with pytest.raises(UserError, match=r"line 1 of .*results.jsonl is no result"):
        Results(tmp_path / RESULTS_FILE)


@pytest.mark.parametrize("written", ["precious", "{}\n{}", '{"case": "mine", "notes": 1}\nkept for years'])
def test_a_file_of_somebody_else_is_left_as_it_is(tmp_path: Path, written: str) -> None:
    file = tmp_path / RESULTS_FILE
    file.write_text(written)
    with pytest.raises(UserError, match="is no result of a sweep"):
        Results(file)
    assert file.read_text() == written


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/full")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        with pytest.raises(UserError, match="is no file"):
            Results(tmp_path / name)


def test_a_results_file_of_somebody_else_says_nothing_to_the_terminal() -> None:
    assert str(Missed("reads.lost\x1b[2J\n7 passed", 4, "== 0")) == "reads.lost\ufffd[2J\ufffd7 passed 4 (== 0)"


def test_a_directory_of_somebody_else_is_left_as_it_is(program: Path, tmp_path: Path) -> None:
    out, case = tmp_path / "out", Case("quickstart", "mesh", 1)
    own = out / case.directory_name
    own.mkdir(parents=True)
    (own / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match=f"{case.directory_name} is none of the sweep's"):
        swept([case], out)
    assert (own / "thesis.tex").read_text() == "years of work"
    own.rename(tmp_path / "elsewhere")
    own.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="is none of the sweep's"):
        swept([case], out)
    assert not (program / "asked").exists()


def test_a_run_that_ends_without_a_verdict_has_none_whatever_an_earlier_one_left(program: Path, tmp_path: Path) -> None:
    out, case = tmp_path / "out", Case("quickstart", "mesh", 4)
    earlier = out / case.directory_name / "earlier"
    earlier.mkdir(parents=True)
    (earlier / "verdict.json").write_text(
        '{"criteria": [{"id": "reads.lost", "target": "== 0", "value": 1, "passed": false}], "reads": {}}'
    )
    (earlier.parent / "latest").symlink_to("earlier")
    (earlier.parent / "run.log").touch()
    assert [result.word for result in swept([case], out)] == ["no verdict (exit code 1)"]
    assert earlier.is_dir()


def test_two_sweeps_in_one_place_do_not_meet(program: Path, tmp_path: Path) -> None:
    lock = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with pytest.raises(UserError, match="another sweep is under way"):
        swept([Case("quickstart", "mesh", 1)], tmp_path)
    os.close(lock)
    assert [result.passed for result in swept([Case("quickstart", "mesh", 1)], tmp_path)] == [True]


KILLED = """
import asyncio, sys
from pathlib import Path
from lab.sweep import sweep as module
from lab.sweep.cases import Case
from lab.sweep.results import RESULTS_FILE, Results

program, out = sys.argv[1], Path(sys.argv[2])
module.python = lambda *arguments: [sys.executable, program, *arguments]
asyncio.run(module.sweep([Case("quickstart", "mesh", 1)], out, Results(out / RESULTS_FILE), 1, print))
"""


def test_a_run_that_a_killed_sweep_has_left_keeps_its_place(program: Path, tmp_path: Path) -> None:
    (program / "slow").touch()
    out, started = tmp_path / "out", program / "started"
    out.mkdir()
    killed = subprocess.Popen([sys.executable, "-c", KILLED, str(program / "run.py"), str(out)])
    deadline = time.monotonic() + 60
    while not started.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    killed.kill()
    killed.wait()
    run = int(started.read_text())
    try:
        with pytest.raises(UserError, match="or a run of one that was killed"):
            swept([Case("quickstart", "mesh", 1)], out)
    finally:
        os.kill(run, signal.SIGKILL)


def test_a_place_that_cannot_be_used_is_said(program: Path, tmp_path: Path) -> None:
    case = Case("quickstart", "mesh", 1)
    (tmp_path / case.directory_name).mkdir()
    (tmp_path / case.directory_name / "run.log").touch()
    (tmp_path / case.directory_name / "latest").mkdir()
    with pytest.raises(UserError, match=r"cannot use .*latest: Is a directory"):
        swept([case], tmp_path)
