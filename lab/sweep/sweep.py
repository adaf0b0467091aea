"""Runs the cases of a sweep, several at a time, each as a process `amilab run` of its own."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from lab.errors import UserError
from lab.processes.interpreter import python
from lab.sweep.cases import Case
from lab.sweep.results import Result, Results, result_of

LOG_FILE = "run.log"
_LATEST = "latest"
_WITH_VERDICT, _REFUSED = (0, 1), 2
_TAIL_LINES = 8


async def sweep(cases: Sequence[Case], out: Path, results: Results, jobs: int, tell: Callable[[Result], None]) -> None:
    """Run what has no verdict in `results` yet, and add what becomes of it. `tell` of each.

    A cancelled sweep ends its runs, and says nothing of them.

    Raises:
        UserError: runs are refused, and others would be, too; or `out` cannot be used, or another sweep uses it.
    """
    with _alone(out) as lock:
        await _sweep(cases, out, results, jobs, tell, lock)


async def _sweep(
    cases: Sequence[Case], out: Path, results: Results, jobs: int, tell: Callable[[Result], None], lock: int
) -> None:
    waiting = deque(case for case in cases if results.verdict_on(case) is None)

    async def work() -> None:
        while waiting:
            with _usable(out):
                result = await _run(waiting.popleft(), out, lock)
            results.add(result)
            tell(result)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(jobs):
                group.create_task(work())
    except ExceptionGroup as failed:
        refusals, errors = failed.split(UserError)
        if errors is not None or refusals is None:
            raise
        told = [each for each in refusals.exceptions if isinstance(each, UserError)]
        hint = next((each.hint for each in told if each.hint), None)
        raise UserError([fault for each in told for fault in each.faults], hint) from None


@contextmanager
def _alone(out: Path) -> Iterator[int]:
    """No other sweep writes there meanwhile, nor after it while a run of it goes on that has the descriptor, too."""
    with _usable(out):
        descriptor = os.open(out, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise UserError(
            f"another sweep is under way in {out}, or a run of one that was killed", "Choose another --out, or wait."
        ) from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _usable(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot use {error.filename or out}: {error.strerror}", "Choose another --out.") from error


def _directory_of(case: Case, out: Path) -> Path:
    """Where it runs: new, or from a run of it that was stopped or had no verdict. Raises UserError: somebody else's."""
    directory = out / case.directory_name
    log = directory / LOG_FILE
    if directory.is_symlink() or (directory.exists() and (log.is_symlink() or not log.is_file())):
        raise UserError(f"{directory} is none of the sweep's", "Move it away, or choose another --out.")
    directory.mkdir(exist_ok=True)
    # The verdict of an earlier run is none of this one.
    (directory / _LATEST).unlink(missing_ok=True)
    return directory


async def _run(case: Case, out: Path, lock: int) -> Result:
    directory = _directory_of(case, out)
    log = directory / LOG_FILE
    began = time.monotonic()
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *python("-m", "lab.commands.main", "run", case.scenario, "--fleet", case.fleet, "--seed", str(case.seed)),
            *("--out", str(directory), *case.arguments),
            stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output,
            pass_fds=(lock,),
            start_new_session=True,  # Ctrl-C reaches the sweep alone, which then ends its runs
        )  # fmt: skip
        try:
            exit_code = await process.wait()
        except asyncio.CancelledError:
            with suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
            raise
    if exit_code == _REFUSED:
        raise UserError([f"{case.fleet}, seed {case.seed}: {_last_words(log)}"])
    verdict, written = None, directory / _LATEST / "verdict.json"
    # `amilab run --help` ends well without one, and a program that crashes ends like a run that failed.
    if exit_code in _WITH_VERDICT and written.is_file():
        verdict = json.loads(written.read_text(encoding="utf-8"))
    result = result_of(case, exit_code, time.monotonic() - began, verdict, directory)
    if result.passed:
        shutil.rmtree(directory)
    return result


def _last_words(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]).strip()
