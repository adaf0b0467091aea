#!/usr/bin/env python3
"""Whether two checkouts of amilab do the same: each scenario, seed and fleet is run in both, and the results compared.

    .venv/bin/python scripts/compare_behaviour.py v0.1.0 .
    .venv/bin/python scripts/compare_behaviour.py ../before . --fleets mesh,plc --seeds 7 --compose

A checkout is a directory, or a commit of this repository, which is checked out for the while. A directory's own
`.venv` runs it if there is one, else the interpreter of this script. Compared are the physics (`truth.parquet`), what
became of each frame of a communications network (`network/*.parquet`, whatever the processes of the meters), and of
`verdict.json` the fleet, the counts of reads, accuracy, outages and criteria: all that the wall clock has no say in.
What the second has in addition (a table, a column, a count, a criterion) is said, and is no difference.

Exit code 0: the same. 1: something differs, or a run gave no verdict. 2: bad input.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

REPOSITORY = Path(__file__).resolve().parents[1]
FLEETS, SEEDS = "bakeoff,mesh,plc,cellular", "7,8,9"
COMPARED = ("passed", "feeder", "fleet", "reads", "accuracy", "outages", "criteria")
SHOWN = ("expected", "stored", "estimated", "recovered", "late", "lost")
TRUTH, FRAMES = "truth.parquet", "network/*.parquet"
SORTED_BY = {
    TRUTH: ("usage_point", "interval_start"),
    FRAMES: ("sent_at", "serial", "direction", "delivery_class", "about", "arrived_at", "hops", "attempts"),
}
"""Of each table that is compared, all files of a run together, what tells its rows apart."""
LOG_COLUMNS = 120


@dataclass(frozen=True, slots=True)
class Checkout:
    """`name`: as it was given. `runs`: where its runs go."""

    name: str
    root: Path
    runs: Path

    def amilab(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command of this checkout, whatever module it is in."""
        scripts = tomllib.loads((self.root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
        module, _, function = scripts["amilab"].partition(":")
        own = self.root / ".venv" / "bin" / "python"
        python = own if own.exists() else Path(sys.executable)
        return subprocess.run(
            [python, "-c", f"from {module} import {function} as main; main()", *arguments],
            cwd=self.runs,
            env={
                **os.environ,
                "PYTHONPATH": str(self.root),
                "AMILAB_COMPOSE_DIRECTORY": str(self.root / "compose"),
            },
            capture_output=True,
            text=True,
            check=False,
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run left, or why there is nothing."""

    directory: Path | None
    verdict: dict[str, Any]
    failure: str = ""


def main() -> int:
    arguments = _arguments()
    console = Console(highlight=False, soft_wrap=True, markup=False, width=None if sys.stdout.isatty() else LOG_COLUMNS)
    with ExitStack() as stack:
        out = arguments.out or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        try:
            before = stack.enter_context(_checkout(arguments.before, out / "before"))
            after = stack.enter_context(_checkout(arguments.after, out / "after"))
        except ValueError as error:
            print(error, file=sys.stderr)
            return 2
        cases = list(product(arguments.fleets.split(","), arguments.seeds.split(",")))
        ways = ["in processes", *(["in containers"] if arguments.compose else [])]
        alike = True
        for way in ways:
            first, second = (
                _runs(checkout, arguments.scenario, cases, way == "in containers", console)
                for checkout in (before, after)
            )
            table = Table(
                "fleet", "seed", *SHOWN, "criteria", "differences", title=f"{arguments.scenario}, {way}", expand=False
            )
            for case in cases:
                differences, additions = compared(first[case], second[case])
                table.add_row(*case, *_figures(second[case]), str(len(differences)))
                alike = alike and not differences
                for line in [*differences, *(f"only after: {addition}" for addition in additions)]:
                    console.print(f"{' '.join(case)}: {line}")
            console.print(table)
    console.print(f"{before.name} and {after.name} " + ("do the same" if alike else "differ"))
    return 0 if alike else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n\n")[0], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before", help="a directory with a checkout, or a commit")
    parser.add_argument("after", nargs="?", default=".", help="the same; this directory if left out")
    parser.add_argument("--scenario", default="quickstart", help="which scenario; quickstart if left out")
    parser.add_argument("--fleets", default=FLEETS, help=f"which fleets, with commas; {FLEETS} if left out")
    parser.add_argument("--seeds", default=SEEDS, help=f"which seeds, with commas; {SEEDS} if left out")
    parser.add_argument("--compose", action="store_true", help="in containers, too; builds the images of both")
    parser.add_argument("--out", type=Path, help="keep all runs below this directory")
    return parser.parse_args()


@contextmanager
def _checkout(name: str, runs: Path) -> Iterator[Checkout]:
    """Raises ValueError: neither a directory with a checkout nor a commit."""
    runs.mkdir(parents=True, exist_ok=True)
    root = Path(name).resolve()
    if root.is_dir():
        if not (root / "pyproject.toml").is_file():
            raise ValueError(f"{name} is no checkout of amilab: it has no pyproject.toml")
        yield Checkout(name, root, runs.resolve())
        return
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory) / "checkout"
        git = ["git", "-C", str(REPOSITORY), "worktree"]
        made = subprocess.run([*git, "add", "--detach", str(root), name], capture_output=True, text=True, check=False)
        if made.returncode:
            raise ValueError(f"{name} is neither a directory nor a commit: {made.stderr.strip()}")
        try:
            yield Checkout(name, root, runs.resolve())
        finally:
            subprocess.run([*git, "remove", "--force", str(root)], check=True)


def _runs(
    checkout: Checkout, scenario: str, cases: Sequence[tuple[str, str]], in_containers: bool, console: Console
) -> dict[tuple[str, str], Outcome]:
    outcomes = {}
    with _containers(checkout) if in_containers else nullcontext():
        for fleet, seed in cases:
            with console.status(f"{checkout.name}: {scenario}, fleet {fleet}, seed {seed}"):
                outcomes[fleet, seed] = _run(checkout, scenario, fleet, seed, in_containers)
    return outcomes


def _run(checkout: Checkout, scenario: str, fleet: str, seed: str, in_containers: bool) -> Outcome:
    out = checkout.runs / f"{fleet}-{seed}{'-containers' if in_containers else ''}"
    done = checkout.amilab(
        *("run", scenario, "--fleet", fleet, "--seed", seed, "--out", str(out)),
        *(["--compose"] if in_containers else []),
    )
    verdict = (out / "latest").resolve() / "verdict.json"
    if not verdict.is_file():
        return Outcome(None, {}, f"no verdict: {(done.stderr or done.stdout).strip()[-600:]}")
    return Outcome(verdict.parent, json.loads(verdict.read_text(encoding="utf-8")))


@contextmanager
def _containers(checkout: Checkout) -> Iterator[None]:
    """The checkout's Compose project, from Debian's packages unless its .env says otherwise; gone afterwards."""
    compose = checkout.root / "compose"
    if not (compose / ".env").exists():
        for command in (("init", "--debian"), ("wheelhouse",)):
            prepared = checkout.amilab("compose", *command)
            if prepared.returncode:
                raise SystemExit(f"{checkout.name}: compose {command[0]}: {prepared.stderr}")
    docker = ["docker", "compose", "--profile", "lab"]
    subprocess.run([*docker, "build", "--quiet"], cwd=compose, check=True)
    try:
        yield
    finally:
        subprocess.run(
            [*docker, "down", "--volumes", "--timeout", "2", "--remove-orphans"],
            cwd=compose,
            check=True,
            capture_output=True,
        )


def compared(before: Outcome, after: Outcome) -> tuple[list[str], list[str]]:
    """What differs, and what only `after` has."""
    if before.directory is None or after.directory is None:
        whose = (("before", before), ("after", after))
        return [f"{which}: {outcome.failure}" for which, outcome in whose if outcome.directory is None], []
    old, new = (dict(_values(_comparable(outcome.verdict))) for outcome in (before, after))
    differences = [
        f"{path}: {value} before, {new.get(path, 'nothing')} after"
        for path, value in old.items()
        if new.get(path) != value
    ]
    additions = [f"{path} = {value}" for path, value in new.items() if path not in old]
    for table, order in SORTED_BY.items():
        columns, more = _table_differences(table, before.directory, after.directory, order)
        differences += columns
        additions += more
    return differences, additions


def _comparable(verdict: dict[str, Any]) -> dict[str, Any]:
    """Criteria by their ids, so that a new one among them moves no other."""
    criteria = {criterion["id"]: criterion for criterion in verdict.get("criteria", [])}
    return {name: verdict.get(name) for name in COMPARED} | {"criteria": criteria}


def _values(value: object, above: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _values(inner, f"{above}.{name}" if above else name)
    else:
        yield above, value


def _table_differences(name: str, before: Path, after: Path, order: Sequence[str]) -> tuple[list[str], list[str]]:
    old, new = _table(before, name), _table(after, name)
    if old is None:
        return [], [] if new is None else [name]
    if new is None:
        return [f"{name}: nothing after"], []
    additions = [f"{name}: column {column}" for column in new.column_names if column not in old.column_names]
    if gone := [column for column in old.column_names if column not in new.column_names]:
        return [f"{name}: no column {column} any more" for column in gone], additions
    if old.num_rows != new.num_rows:
        return [f"{name}: {old.num_rows} rows before, {new.num_rows} after"], additions
    keys = [(column, "ascending") for column in order]
    old, new = (table.select(old.column_names).sort_by(keys).combine_chunks() for table in (old, new))
    unlike = [column for column in old.column_names if not old[column].equals(new[column].cast(old[column].type))]
    return [f"{name}: {column} differs" for column in unlike], additions


def _table(directory: Path, name: str) -> pa.Table | None:
    """Of all files that this names; None: there is none."""
    files = sorted(directory.glob(name))
    return pa.concat_tables(_plain(pq.read_table(file)) for file in files) if files else None


def _plain(table: pa.Table) -> pa.Table:
    """Without dictionaries, in which the same text may be coded otherwise."""
    for index, column in enumerate(table.columns):
        if pa.types.is_dictionary(column.type):
            table = table.set_column(index, table.column_names[index], column.cast(column.type.value_type))
    return table


def _figures(outcome: Outcome) -> list[str]:
    if outcome.directory is None:
        return ["-"] * (len(SHOWN) + 1)
    reads, criteria = outcome.verdict["reads"], outcome.verdict["criteria"]
    passed = sum(criterion["passed"] for criterion in criteria)
    return [*(f"{reads[name]:,}" for name in SHOWN), f"{passed} of {len(criteria)} passed"]


if __name__ == "__main__":
    sys.exit(main())
