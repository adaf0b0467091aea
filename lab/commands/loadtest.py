"""The command `amilab loadtest`."""

from __future__ import annotations

import socket
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from lab.commands.compose_project import DIRECTORY as COMPOSE_DIRECTORY
from lab.commands.compose_project import project_of
from lab.commands.faults import Faults
from lab.commands.interruption import until_interrupted
from lab.commands.options import RUNS, BrokerUrl, Compose, DatabaseUrl, Fleet, Keep, Out, Seed
from lab.commands.paths import shown_path
from lab.commands.refusal import failures_shown
from lab.scenario.choices import chosen_fleet
from lab.scenario.load import load_scenario

if TYPE_CHECKING:
    from lab.containers.project import ComposeProject
    from lab.loadtest.run import LoadRequest
    from lab.loadtest.settings import LoadTest

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
    fleet: Fleet = None,
    meters: Annotated[int | None, typer.Option(help="At the peak, instead of the file's.", min=1)] = None,
    period: Annotated[
        float | None,
        typer.Option(help="Seconds in which a capture period of every meter passes, instead of the file's."),
    ] = None,
    seed: Seed = None,
    workers: Annotated[
        int,
        typer.Option(help="Processes that make the load; more than one are led by a master.", min=1, max=MOST_WORKERS),
    ] = 1,
    web: Annotated[bool, typer.Option("--web", help="Show Locust's own web page meanwhile.")] = False,
    web_port: Annotated[int, typer.Option(help="Where, on 127.0.0.1.", min=1, max=65_535)] = WEB_PORT,
    out: Out = RUNS,
    database_url: DatabaseUrl = None,
    broker_url: BrokerUrl = None,
    keep: Keep = False,
    compose: Compose = False,
) -> None:
    """Put a head-end under load by Locust, and judge it.

    Exit code 0: every objective met. 1: one missed. 2: bad input or surroundings. 3: a part crashed. 4: invalid, since
    the generator could not keep its own schedule.
    """
    console = Console(soft_wrap=False)
    with failures_shown():
        given = _Given(
            shape, file, scenario, fleet, meters, period, seed, workers, web_port if web else None, out, database_url,
            broker_url, keep, compose,
        )  # fmt: skip
        code = until_interrupted(_work(given.request(), shape, console))
    raise typer.Exit(code)


@dataclass(frozen=True, slots=True)
class _Given:
    """The command line, as it is. `web_port`: None without Locust's page."""

    shape: str
    file: Path | None
    scenario: str
    fleet: str | None
    meters: int | None
    period_s: float | None
    seed: int | None
    workers: int
    web_port: int | None
    out: Path
    database_url: str | None
    broker_url: str | None
    keep: bool
    compose: bool

    def request(self) -> LoadRequest:
        """What is asked for. Raises UserError with every fault."""
        from lab.loadtest.settings import load_settings

        faults = Faults("loadtest")
        database_url = faults.secret("--database-url", self.database_url)
        broker_url = faults.secret("--broker-url", self.broker_url)
        settings = faults.tried(partial(load_settings, self.file))
        scenario = faults.tried(partial(load_scenario, self.scenario))
        faults.check_fleet_and_out(self.fleet, self.out)
        self._check_load(faults, settings)
        self._check_page(faults)
        project = self._project(faults, {"--database-url": database_url, "--broker-url": broker_url})
        choice = None if scenario is None else faults.tried(partial(chosen_fleet, scenario.fleet, self.fleet))
        faults.raise_any()
        assert settings is not None, "what is wrong with them has been said"
        assert scenario is not None
        assert choice is not None
        from lab.loadtest.run import LoadRequest

        changes = {"meters": self.meters, "period_s": self.period_s}
        return LoadRequest(
            settings=settings.with_load(**{key: value for key, value in changes.items() if value is not None}),
            fleet=choice.model_copy(update={"meters": None}),
            seed=scenario.seed if self.seed is None else self.seed,
            out=self.out,
            workers=self.workers,
            web_port=self.web_port,
            database_url=database_url,
            broker_url=broker_url,
            keep=self.keep,
            project=project,
        )

    def _check_load(self, faults: Faults, settings: LoadTest | None) -> None:
        if self.period_s is not None and not 0.01 <= self.period_s <= 86_400:
            faults.add(f"--period is {self.period_s:g}; it must be from 0.01 to 86400 s")
        if settings is not None and self.shape not in (FIND_KNEE, *settings.shapes):
            names = ", ".join(sorted(settings.shapes))
            faults.add(f"there is no shape {self.shape!r}; there are {names} and {FIND_KNEE}")

    def _check_page(self, faults: Faults) -> None:
        if self.web_port is None:
            return
        if self.shape == FIND_KNEE:
            faults.add(f"--web does not go with {FIND_KNEE}, which starts Locust for each step")
        if not self.compose and not _is_free(self.web_port):
            faults.add(f"port {self.web_port} is taken; choose another with --web-port")

    def _project(self, faults: Faults, given: dict[str, str | None]) -> ComposeProject | None:
        if not self.compose:
            return None
        faults.refuse_beside("--compose", given)
        return faults.tried(partial(project_of, COMPOSE_DIRECTORY))


def _work(request: LoadRequest, shape: str, console: Console) -> Coroutine[Any, Any, int]:
    """What is to be run; it returns the exit code."""
    from lab.loadtest.knee import find_knee, knee_summary
    from lab.loadtest.outputs import summary
    from lab.loadtest.progress import LoadProgress
    from lab.loadtest.run import run_shape

    progress = LoadProgress(console)

    async def shape_work() -> int:
        if request.web_port is not None:
            progress.notice(f"Locust's page: http://127.0.0.1:{request.web_port}")
        result = await run_shape(request, request.settings.shapes[shape], progress)
        console.print(summary(result.verdict, report=shown_path(result.report)))
        return result.verdict.exit_status

    async def knee_work() -> int:
        found = await find_knee(request, progress)
        console.print(knee_summary(found.knee, report=shown_path(found.report)))
        return found.knee.exit_status

    return knee_work() if shape == FIND_KNEE else shape_work()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
