"""The command `amilab loadtest`."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from lab.commands.interruption import until_interrupted
from lab.commands.refusal import failures_shown
from lab.commands.secret_option import disclosed
from lab.errors import UserError
from lab.fleet.presets import PRESETS, parse_fleet
from lab.processes.private_environment import BROKER_URL, DATABASE_URL

MOST_WORKERS = 256
FIND_KNEE = "find-knee"
WEB_PORT = 8089


def loadtest(
    shape: Annotated[
        str,
        typer.Argument(
            help="[b]ramp[/b], [b]plateau[/b], [b]spike[/b], [b]storm[/b] (of last gasps), [b]backfill[/b], one of "
            "your file, or [b]find-knee[/b]: raise the load until an objective breaks."
        ),
    ],
    file: Annotated[
        Path | None, typer.Option(help="Loads, shapes and objectives (TOML) instead of the bundled ones.")
    ] = None,
    scenario: Annotated[
        str, typer.Option(help="Whose fleet and seed are taken: a bundled scenario, or a TOML file.")
    ] = "quickstart",
    fleet: Annotated[
        str | None,
        typer.Option(help=f"Instead of the scenario's: {', '.join(f'[b]{name}[/b]' for name in sorted(PRESETS))}."),
    ] = None,
    meters: Annotated[int | None, typer.Option(help="At the peak, instead of the file's.", min=1)] = None,
    period: Annotated[
        float | None,
        typer.Option(help="Seconds in which a capture period of every meter passes, instead of the file's."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Instead of the scenario's seed.", min=0)] = None,
    workers: Annotated[
        int,
        typer.Option(help="Processes that make the load; more than one are led by a master.", min=1, max=MOST_WORKERS),
    ] = 1,
    web: Annotated[bool, typer.Option("--web", help="Show Locust's own web page meanwhile.")] = False,
    web_port: Annotated[int, typer.Option(help="Where, on 127.0.0.1.", min=1, max=65_535)] = WEB_PORT,
    out: Annotated[Path, typer.Option(help="Where the directory of this run is made.", file_okay=False)] = Path("runs"),
    database_url: Annotated[str | None, typer.Option(help="As for `amilab run`.", envvar=DATABASE_URL)] = None,
    broker_url: Annotated[str | None, typer.Option(help="As for `amilab run`.", envvar=BROKER_URL)] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the database.")] = False,
    compose: Annotated[
        bool, typer.Option("--compose", help="Run in the containers of compose/, Locust's master and workers too.")
    ] = False,
) -> None:
    """Put a head-end under load by Locust, and judge it.

    Exit code 0: every objective met. 1: one missed. 2: bad input or surroundings. 3: a part crashed. 4: invalid, since
    the generator could not keep its own schedule.
    """
    console = Console(soft_wrap=False)
    with failures_shown():
        work = _work(
            console, shape, file, scenario, fleet, meters, period, seed, workers, web_port if web else None, out,
            database_url, broker_url, keep, compose,
        )  # fmt: skip
        code = until_interrupted(work)
    raise typer.Exit(code)


def _work(
    console: Console,
    name: str,
    file: Path | None,
    scenario_name: str,
    fleet: str | None,
    meters: int | None,
    period_s: float | None,
    seed: int | None,
    workers: int,
    web_port: int | None,
    out: Path,
    database_url: str | None,
    broker_url: str | None,
    keep: bool,
    compose: bool,
) -> Coroutine[Any, Any, int]:
    """What is to be run; it returns the exit code. Raises UserError with every fault."""
    from lab.commands.compose import DIRECTORY as COMPOSE_DIRECTORY
    from lab.commands.compose import project_of
    from lab.containers.project import ComposeProject
    from lab.loadtest.settings import LoadTest, load_settings
    from lab.scenario.choices import chosen_fleet
    from lab.scenario.load import Scenario, load_scenario

    faults: list[str] = []
    hints: list[str] = []

    def tried(load: Callable[[], Any]) -> Any:
        try:
            return load()
        except UserError as error:
            faults.extend(error.faults)
            hints.extend([error.hint] if error.hint else [])
            return None

    database_url = tried(lambda: disclosed("--database-url", database_url))
    broker_url = tried(lambda: disclosed("--broker-url", broker_url))
    settings: LoadTest | None = tried(lambda: load_settings(file))
    scenario: Scenario | None = tried(lambda: load_scenario(scenario_name))
    if fleet is not None:
        try:
            parse_fleet(fleet)
        except ValueError as error:
            faults.append(f"--fleet: {error}")
    if period_s is not None and not 0.01 <= period_s <= 86_400:
        faults.append(f"--period is {period_s:g}; it must be from 0.01 to 86400 s")
    if out.exists() and not out.is_dir():
        faults.append(f"--out is {out}, which is a file; it must be a directory")
    if settings is not None and name != FIND_KNEE and name not in settings.shapes:
        faults.append(f"there is no shape {name!r}; there are {', '.join(sorted(settings.shapes))} and {FIND_KNEE}")
    if web_port is not None and name == FIND_KNEE:
        faults.append(f"--web does not go with {FIND_KNEE}, which starts Locust for each step")
    if web_port is not None and not compose and not _is_free(web_port):
        faults.append(f"port {web_port} is taken; choose another with --web-port")
    project: ComposeProject | None = None
    if compose:
        given = {"--database-url": database_url, "--broker-url": broker_url}
        faults += [f"{option} does not go with --compose" for option, value in given.items() if value]
        project = tried(lambda: project_of(COMPOSE_DIRECTORY))
    if faults or settings is None or scenario is None:
        raise UserError(faults, "\n".join(dict.fromkeys(hints)) or "See `amilab loadtest --help`.")
    from lab.loadtest.knee import find_knee, knee_summary
    from lab.loadtest.outputs import summary
    from lab.loadtest.progress import LoadProgress
    from lab.loadtest.run import LoadRequest, run_shape

    choice = chosen_fleet(scenario.fleet, fleet).model_copy(update={"meters": None})
    changes = {key: value for key, value in (("meters", meters), ("period_s", period_s)) if value is not None}
    request = LoadRequest(
        settings=settings.with_load(**changes),
        fleet=choice,
        seed=scenario.seed if seed is None else seed,
        out=out,
        workers=workers,
        web_port=web_port,
        database_url=database_url,
        broker_url=broker_url,
        keep=keep,
        project=project,
    )
    progress = LoadProgress(console)

    async def shape_work() -> int:
        if web_port is not None:
            progress.notice(f"Locust's page: http://127.0.0.1:{web_port}")
        result = await run_shape(request, request.settings.shapes[name], progress)
        console.print(summary(result.verdict, report=_shown(result.report)))
        return result.verdict.exit_status

    async def knee_work() -> int:
        found = await find_knee(request, progress)
        console.print(knee_summary(found.knee, report=_shown(found.report)))
        return found.knee.exit_status

    return knee_work() if name == FIND_KNEE else shape_work()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _shown(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
