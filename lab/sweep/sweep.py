"""Runs the cases of a sweep, several at a time, each as a process `amilab run` of its own."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from lab.errors import UserError
from lab.processes.interpreter import python
from lab.sweep.cases import Case
from lab.sweep.results import Result, Results, result_of

LOG_FILE = "run.log"
_WITH_VERDICT, _REFUSED = (0, 1), 2
_TAIL_LINES = 8


async def sweep(cases: Sequence[Case], out: Path, results: Results, jobs: int, tell: Callable[[Result], None]) -> None:
    """Run what has no verdict in `results` yet, and add what becomes of it. `tell` of each.

    A cancelled sweep ends its runs, and says nothing of them.

    Raises:
        UserError: runs are refused; others would be, too.
    """
    waiting = deque(case for case in cases if results.verdict_on(case) is None)

    async def work() -> None:
        while waiting:
            result = await _run(waiting.popleft(), out)
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
        raise UserError([str(refusal) for refusal in refusals.exceptions]) from None


async def _run(case: Case, out: Path) -> Result:
    directory = out / case.directory_name
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / LOG_FILE
    began = time.monotonic()
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *python("-m", "lab.commands.main", "run", case.scenario, "--fleet", case.fleet, "--seed", str(case.seed)),
            *("--out", str(directory), *case.arguments),
            stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,  # Ctrl-C reaches the sweep alone, which then ends its runs
        )  # fmt: skip
        try:
            exit_code = await process.wait()
        except asyncio.CancelledError:
            process.terminate()
            await process.wait()
            raise
    if exit_code == _REFUSED:
        raise UserError([f"{case.fleet}, seed {case.seed}: {_last_words(log)}"])
    verdict = None
    if exit_code in _WITH_VERDICT:
        verdict = json.loads((directory / "latest" / "verdict.json").read_text(encoding="utf-8"))
    result = result_of(case, exit_code, time.monotonic() - began, verdict, directory)
    if result.passed:
        shutil.rmtree(directory)
    return result


def _last_words(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]).strip()
