"""The command `amilab`."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from lab import __version__
from lab.commands.compose import DIRECTORY as COMPOSE_DIRECTORY
from lab.commands.compose import app as compose_app
from lab.commands.compose import project_of
from lab.commands.dashboards import app as dashboards_app
from lab.commands.db import app as db_app
from lab.commands.interruption import until_interrupted
from lab.commands.judge import judge
from lab.commands.live import exercise_app, inject_app, up
from lab.commands.loadtest import loadtest
from lab.commands.refusal import failures_shown
from lab.commands.secret_option import AT_FILE, disclosed
from lab.commands.terminal import make_output_tolerant
from lab.errors import UserError
from lab.fleet.presets import PRESETS, parse_fleet
from lab.processes.private_environment import BROKER_URL, DATABASE_URL, STORED
from lab.run.progress import RunProgress
from lab.scenario.choices import with_choices
from lab.scenario.load import bundled_scenarios, load_scenario, parse_duration


class HeadEndChoice(StrEnum):
    """Whose head-end is judged."""

    AMILAB = "amilab"
    EXTERNAL = "external"


app = typer.Typer(
    name="amilab",
    help="A full-stack digital twin of an Advanced Metering Infrastructure. Every run ends in a verdict.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


app.add_typer(compose_app, name="compose")
app.command()(judge)
app.command()(up)
app.add_typer(inject_app, name="inject")
app.add_typer(exercise_app, name="exercise")
app.add_typer(db_app, name="db")
app.add_typer(dashboards_app, name="dashboards")
app.command()(loadtest)


@app.callback()
def _main() -> None:
    """Keeps `run` a subcommand."""


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


@app.command()
def scenarios() -> None:
    """List the scenarios that come with amilab."""
    for name in bundled_scenarios():
        scenario = load_scenario(name)
        typer.echo(f"{name:<20} {scenario.description}")


@app.command()
def run(
    scenario: Annotated[str, typer.Argument(help="A bundled scenario's name, or a path to a TOML file.")],
    seed: Annotated[int | None, typer.Option(help="Instead of the scenario's seed.", min=0)] = None,
    speed: Annotated[
        str,
        typer.Option(
            help="[b]max[/b]: as fast as the work takes. A number: at most that many times real time, in lockstep. "
            "[b]1[/b]: on the wall clock, without a barrier."
        ),
    ] = "max",
    duration: Annotated[str | None, typer.Option(help="Instead of the scenario's duration: 90min, 24h.")] = None,
    feeder: Annotated[
        str | None,
        typer.Option(
            help="Instead of the scenario's: [b]schutterwald[/b], [b]simbench:[/b]CODE (its loads up to 1 kV get "
            "meters), or [b]file:[/b]PATH of a pandapower JSON file."
        ),
    ] = None,
    fleet: Annotated[
        str | None,
        typer.Option(
            help="Instead of the scenario's: "
            + "; ".join(f"[b]{name}[/b]: {preset.description}" for name, preset in sorted(PRESETS.items()))
            + "; or shares of vendors, [b]rl-dsp=0.3,file:acme.toml=0.7[/b] (see `amilab vendors`)"
        ),
    ] = None,
    meters: Annotated[
        int | None, typer.Option(help="Meter only so many usage points, drawn by seed; the others are load.", min=1)
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the directory of this run is made.", file_okay=False)] = Path("runs"),
    database_url: Annotated[
        str | None,
        typer.Option(
            help=f"Store in this PostgreSQL, in a schema of the run's own, instead of an embedded one. {AT_FILE}",
            envvar=DATABASE_URL,
        ),
    ] = None,
    broker_url: Annotated[
        str | None,
        typer.Option(
            help=f"Use this MQTT broker, mqtt://user:password@host:port, instead of an embedded one. {AT_FILE}",
            envvar=BROKER_URL,
        ),
    ] = None,
    headend: Annotated[
        HeadEndChoice,
        typer.Option(
            help="[b]amilab[/b]: our own. [b]external[/b]: yours, which reads the run's broker and is judged by what "
            "--stored has at the end; needs --speed 1. See docs/external-head-end.md."
        ),
    ] = HeadEndChoice.AMILAB,
    stored: Annotated[
        str | None,
        typer.Option(
            help="Where your head-end keeps its readings: postgresql://…?query=… (default: the relation "
            f"stored_reading), a .csv or a .parquet file. {AT_FILE}",
            envvar=STORED,
        ),
    ] = None,
    lead: Annotated[
        str | None,
        typer.Option(help="How long your head-end has to connect before judging begins: 30s, 5min. Default 1min."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the database and the meters' memory.")] = False,
    compose: Annotated[
        bool, typer.Option("--compose", help="Run in the containers of compose/ instead of in processes.")
    ] = False,
    swarm: Annotated[
        bool, typer.Option("--swarm", help="Run in the same containers on the Docker Swarm of this machine.")
    ] = False,
) -> None:
    """Run a scenario to its verdict.

    Exit code 0: every criterion passed. 1: one failed. 2: bad input or surroundings. 3: a part of the lab crashed.
    """
    console = Console(stderr=False, soft_wrap=False)
    with failures_shown():
        request = _request(
            scenario,
            seed,
            speed,
            duration,
            feeder,
            fleet,
            meters,
            out,
            database_url,
            broker_url,
            keep,
            headend,
            stored,
            lead,
            compose,
            swarm,
        )
        outcome = until_interrupted(_run(request, RunProgress(console)))
    from lab.verdict.summary import summary

    console.print(summary(outcome.verdict, report=_shown_path(outcome.report)))
    raise typer.Exit(outcome.verdict.exit_status)


def _request(
    name: str,
    seed: int | None,
    speed: str,
    duration: str | None,
    feeder: str | None,
    fleet: str | None,
    meters: int | None,
    out: Path,
    database_url: str | None,
    broker_url: str | None,
    keep: bool,
    headend: HeadEndChoice,
    stored: str | None,
    lead: str | None,
    compose: bool,
    swarm: bool,
) -> Any:
    # Heavy imports wait until the scenario is known to be good: a typing error is answered at once.
    from lab.headends.external import DEFAULT_LEAD_S, ExternalHeadEnd, faults_with_external_head_end
    from lab.headends.stored_source import parse_stored
    from lab.verdict.criteria import CRITERIA

    faults: list[str] = []
    speed_factor: float | None = None
    if speed != "max":
        try:
            speed_factor = float(speed)
        except ValueError:
            faults.append(f"--speed is {speed!r}; it must be 'max' or a number")
        else:
            if not 1.0 <= speed_factor < float("inf"):
                faults.append(f"--speed is {speed}; it must be 'max' or a number of at least 1")
    duration_s: int | None = None
    if duration is not None:
        try:
            duration_s = parse_duration(duration)
        except ValueError as error:
            faults.append(f"--duration: {error}")
    if fleet is not None:
        try:
            parse_fleet(fleet)
        except ValueError as error:
            faults.append(f"--fleet: {error}")
    if out.exists() and not out.is_dir():
        faults.append(f"--out is {out}, which is a file; it must be a directory")
    hint = "See `amilab run --help`."
    try:
        database_url = disclosed("--database-url", database_url)
        broker_url = disclosed("--broker-url", broker_url)
        stored = disclosed("--stored", stored)
    except UserError as error:
        faults += error.faults
        hint = error.hint or hint
    try:
        known = [criterion.id for criterion in CRITERIA]
        scenario = load_scenario(name, seed=seed, duration_s=duration_s, known_criteria=known)
    except UserError as error:
        raise UserError([*faults, *error.faults], error.hint) from error
    scenario = with_choices(scenario, feeder, fleet, meters)
    external: ExternalHeadEnd | None = None
    if headend is HeadEndChoice.EXTERNAL:
        real_time = speed_factor == 1.0
        faults += faults_with_external_head_end(scenario, real_time=real_time, database_url=database_url, stored=stored)
        try:
            lead_s = DEFAULT_LEAD_S if lead is None else parse_duration(lead)
        except ValueError as error:
            faults.append(f"--lead: {error}")
        else:
            try:
                external = None if stored is None else ExternalHeadEnd(parse_stored(stored), lead_s)
            except UserError as error:
                faults += error.faults
                hint = error.hint or hint
    else:
        faults += [
            f"{option} is for --headend external" for option, value in (("--stored", stored), ("--lead", lead)) if value
        ]
    site: Any = None
    if compose and swarm:
        faults.append("--compose and --swarm exclude each other")
    elif compose or swarm:
        option = "--swarm" if swarm else "--compose"
        given = {"--database-url": database_url, "--broker-url": broker_url, "--headend external": external}
        faults += [f"{other} does not go with {option}" for other, value in given.items() if value]
        try:
            site = _containers(swarm=swarm)
        except UserError as error:
            faults += error.faults
            hint = error.hint or hint
    if faults:
        raise UserError(faults, hint)
    from lab.run.request import RunRequest

    return RunRequest(
        scenario,
        out,
        speed_factor,
        database_url,
        broker_url,
        keep,
        external,
        site,
        feeder_option=feeder is not None,
    )


def _containers(*, swarm: bool) -> Any:
    from lab.containers.site import ContainerSite

    return ContainerSite(project_of(COMPOSE_DIRECTORY, swarm=swarm))


async def _run(request: Any, progress: RunProgress) -> Any:
    from lab.run.run import run as run_lab

    return await run_lab(request, progress)


def _shown_path(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def main() -> None:
    make_output_tolerant()
    app()


if __name__ == "__main__":
    main()
