"""The command `amilab sweep`: does a scenario pass with every seed, on every fleet?"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lab.commands.faults import Faults
from lab.commands.given_scenario import given_scenario
from lab.commands.interruption import until_interrupted
from lab.commands.options import Scenario
from lab.commands.paths import shown_path
from lab.commands.refusal import failures_shown
from lab.errors import UserError
from lab.fleet.presets import PRESETS

_SWEEPS = Path("sweeps")


def sweep(
    scenario: Scenario,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(help="After [b]--[/b]: further options of [b]amilab run[/b], for each of the runs."),
    ] = None,
    seeds: Annotated[str, typer.Option(help="Which seeds: 1-20, or 7,8,101-120.")] = "1-20",
    fleet: Annotated[
        list[str] | None,
        typer.Option(help="Which fleets, as for [b]amilab run[/b]; may be said several times. Default: every preset."),
    ] = None,
    jobs: Annotated[int, typer.Option(help="So many runs at a time.", min=1)] = 1,
    out: Annotated[
        Path, typer.Option(help="Where results.jsonl is, and the directories of runs that failed.", file_okay=False)
    ] = _SWEEPS,
) -> None:
    """Run a scenario with many seeds on several fleets, and say which of them pass.

    Exit code 0: all passed. 1: one failed, or gave no verdict. 2: bad input or surroundings.

    What has a verdict in results.jsonl is not run again, so a sweep that was stopped goes on from there. The
    directory of a run that passed is removed.
    """
    console = Console(soft_wrap=False)
    with failures_shown("say the same again to go on"):
        from lab.sweep.cases import argument_faults, parse_seeds, seed_by_seed
        from lab.sweep.results import RESULTS_FILE, Result, Results, table, totals
        from lab.sweep.sweep import sweep as run_sweep

        given, fleets = arguments or [], fleet or sorted(PRESETS)
        faults = Faults("sweep")
        chosen = faults.parsed("--seeds", parse_seeds, seeds)
        for each in fleets:
            faults.check_fleet_and_out(each, out)
            faults.tried(partial(given_scenario, scenario, seed=None, feeder=None, fleet=each, meters=None))
        faults.add(*argument_faults(given, jobs))
        faults.raise_any()
        assert chosen is not None, "what is wrong with it has been said"
        cases = seed_by_seed(scenario, fleets, chosen, given)
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot make {out}: {error.strerror}", "Choose another --out.") from error
        results = Results(out / RESULTS_FILE)

        def tell(result: Result) -> None:
            count = len(results.of(cases))
            told = f"{count} of {len(cases)}  {result.case.fleet}, seed {result.case.seed}: {result.word}"
            console.print(", ".join([told, *map(str, result.missed)]), markup=False, highlight=False, soft_wrap=True)

        until_interrupted(run_sweep(cases, out, results, jobs, tell))
    found = results.of(cases)
    console.print(table(found), totals(found))
    console.print(f"all of it: {shown_path(out / RESULTS_FILE)}", highlight=False, soft_wrap=True)
    raise typer.Exit(0 if all(result.passed for result in found) else 1)
