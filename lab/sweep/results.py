"""What became of the runs of a sweep: a line of JSON for each, so that it can be stopped and continued."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from pydantic import TypeAdapter, ValidationError
from rich.table import Table
from rich.text import Text

from lab.errors import UserError
from lab.sweep.cases import Case
from lab.wording import printable_line

RESULTS_FILE = "results.jsonl"


@dataclass(frozen=True, slots=True)
class Missed:
    """A criterion that failed. `value` is None where nothing could be measured."""

    id: str
    value: float | None
    target: str

    def __str__(self) -> str:
        value = "not measured" if self.value is None else f"{self.value:.6g}"
        return printable_line(f"{self.id} {value} ({self.target})")


@dataclass(frozen=True, slots=True)
class Result:
    """`exit_code` is that of `amilab run`; `criteria` counts all that were judged, 0 where there is no verdict.

    `reads` are the verdict's counts. `directory`: where the run is kept; None where it passed.
    """

    case: Case
    exit_code: int
    criteria: int
    missed: tuple[Missed, ...]
    reads: dict[str, int | float | None]
    wall_s: float
    directory: str | None = None

    @property
    def passed(self) -> bool:
        return self.exit_code == 0 and self.judged

    @property
    def judged(self) -> bool:
        """Whether there is a verdict."""
        return self.criteria > 0

    @property
    def word(self) -> str:
        if not self.judged:
            return f"no verdict (exit code {self.exit_code})"
        return "passed" if self.passed else "failed"


_FORM = TypeAdapter(Result)
_BEGINNING = b'{"case":'


def result_of(case: Case, exit_code: int, wall_s: float, verdict: Mapping[str, Any] | None, directory: Path) -> Result:
    """:param verdict: verdict.json, if there is one. `directory`: where the run is, kept unless it passed."""
    criteria = [] if verdict is None else verdict["criteria"]
    missed = tuple(Missed(each["id"], each["value"], each["target"]) for each in criteria if not each["passed"])
    reads = {} if verdict is None else dict(verdict["reads"])
    result = Result(case, exit_code, len(criteria), missed, reads, round(wall_s, 1))
    return result if result.passed else replace(result, directory=str(directory))


class Results:
    """The file of a sweep. What a run said last counts. Raises UserError where it cannot be written."""

    def __init__(self, path: Path) -> None:
        """Raises UserError: it cannot be read, or has a line that is no result. Nothing is written then."""
        self._path = path
        self._by_case: dict[Case, Result] = {}
        try:
            if path.exists() and not path.is_file():
                raise UserError(f"{path} is no file", "Choose another --out.")
            written = path.read_bytes() if path.exists() else b""
        except OSError as error:
            raise UserError(f"cannot use {path}: {error.strerror}", "Choose another --out.") from error
        whole, last = written[: written.rfind(b"\n") + 1], written[written.rfind(b"\n") + 1 :]
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                result = _FORM.validate_json(line)
            except ValidationError as error:
                raise _strange(path, number, error.errors()[0]["msg"]) from error
            self._by_case[result.case] = result
        if last:
            # A sweep that was killed may have left half a line; its run is made again.
            if not (last.startswith(_BEGINNING) or _BEGINNING.startswith(last)):
                raise _strange(path, whole.count(b"\n") + 1, "it begins otherwise")
            with self._writing("r+b") as file:
                file.truncate(len(whole))

    def verdict_on(self, case: Case) -> Result | None:
        """None: not run yet, or there was no verdict."""
        result = self._by_case.get(case)
        return result if result is not None and result.judged else None

    def of(self, cases: Iterable[Case]) -> list[Result]:
        """Those that there are, in this order."""
        return [self._by_case[case] for case in cases if case in self._by_case]

    def add(self, result: Result) -> None:
        self._by_case[result.case] = result
        with self._writing("ab") as file:
            file.write(_FORM.dump_json(result) + b"\n")

    @contextmanager
    def _writing(self, mode: str) -> Iterator[IO[bytes]]:
        try:
            with self._path.open(mode) as file:
                yield file
        except OSError as error:
            raise UserError(
                f"cannot write {self._path}: {error.strerror}", "Make room, or choose another --out."
            ) from error


def _strange(path: Path, number: int, what: str) -> UserError:
    return UserError(
        f"line {number} of {path} is no result of a sweep: {what}", "Remove that line, or choose another --out."
    )


def table(results: Iterable[Result]) -> Table:
    """A row for each run."""
    shown = Table("fleet", "seed", "verdict", "failed: value (target)", box=None, pad_edge=False, header_style="dim")
    shown.add_column("wall", justify="right")
    for result in results:
        style = "green" if result.passed else "bold red"
        missed = "\n".join(map(str, result.missed))
        shown.add_row(
            Text(result.case.fleet), str(result.case.seed), Text(result.word, style=style), Text(missed),
            f"{result.wall_s:,.0f} s",
        )  # fmt: skip
    return shown


def totals(results: Iterable[Result]) -> Table:
    """A row for each fleet: how many of its runs passed, and the sums of their reads."""
    counts = ("expected", "lost", "estimated", "recovered", "late")
    shown = Table("fleet", "passed", box=None, pad_edge=False, header_style="dim")
    for name in counts:
        shown.add_column(name, justify="right")
    by_fleet: dict[str, list[Result]] = {}
    for result in results:
        by_fleet.setdefault(result.case.fleet, []).append(result)
    for fleet, runs in by_fleet.items():
        sums = (sum(run.reads.get(name) or 0 for run in runs) for name in counts)
        passed = sum(run.passed for run in runs)
        shown.add_row(Text(fleet), f"{passed} of {len(runs)}", *(f"{total:,.0f}" for total in sums))
    return shown
