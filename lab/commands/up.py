"""The command `amilab up`: a lab that goes on living, with a page to look at it."""

from __future__ import annotations

import secrets
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from lab.commands.compose_project import DIRECTORY as COMPOSE_DIRECTORY
from lab.commands.compose_project import project_of
from lab.commands.faults import Faults
from lab.commands.given_scenario import given_scenario
from lab.commands.interruption import until_interrupted
from lab.commands.options import (
    RUNS,
    BrokerUrl,
    Compose,
    DatabaseUrl,
    Feeder,
    Fleet,
    Keep,
    Meters,
    Network,
    Out,
    Scenario,
    Seed,
)
from lab.commands.refusal import failures_shown
from lab.run.progress import RunProgress
from lab.scenario.load import parse_duration
from lab.scenario.network import NetworkModel

if TYPE_CHECKING:
    from lab.live.session import Session
    from lab.run.request import RunRequest
    from lab.run.site import Site

DEFAULT_PORT = 8790
DEFAULT_HISTORY = "5h"


def up(
    scenario: Scenario = "quickstart",
    speed: Annotated[
        str,
        typer.Option(help="Simulated seconds per second of wall clock: [b]1[/b] is real time. Or [b]max[/b]."),
    ] = "1",
    history: Annotated[
        str,
        typer.Option(help="Live through so much as fast as the work takes first, so that there is something to see."),
    ] = DEFAULT_HISTORY,
    duration: Annotated[str | None, typer.Option(help="End after so much simulated time. Else with Ctrl-C.")] = None,
    port: Annotated[int, typer.Option(help="Of the page; 0 for any that is free.", min=0, max=65_535)] = DEFAULT_PORT,
    host: Annotated[str, typer.Option(help="Where the page listens; beyond loopback others see it.")] = "127.0.0.1",
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A host name that the page answers to as well, NAME or NAME:PORT; as often as you like."),
    ] = None,
    browser: Annotated[bool, typer.Option("--open", help="Open the page in your browser.")] = False,
    seed: Seed = None,
    feeder: Feeder = None,
    fleet: Fleet = None,
    meters: Meters = None,
    network: Network = None,
    out: Out = RUNS,
    database_url: DatabaseUrl = None,
    broker_url: BrokerUrl = None,
    keep: Keep = False,
    compose: Compose = False,
) -> None:
    """Keep a lab running, with a page to look at it, disturb it and train on it.

    Ctrl-C ends it: all that was measured is waited for, then the verdict is printed. Exit codes as of `amilab run`.
    """
    console = Console(soft_wrap=False)
    with failures_shown("the containers wait for the next run" if compose else "nothing was left running"):
        given = _Given(
            scenario, speed, history, duration, seed, feeder, fleet, meters, network, out, database_url, broker_url,
            keep, compose,
        )  # fmt: skip
        request, session = given.lab(_Page(host, port, tuple(allow_host or ()), browser), console)
        from lab.run.run import run

        async def live() -> Any:
            async with session.until_told():
                outcome = await run(request, RunProgress(console))
                session.judged(outcome.verdict, outcome.directory)
            return outcome

        outcome = until_interrupted(live(), rather=session.stop)
    from lab.verdict.summary import summary

    console.print(summary(outcome.verdict, report=str(outcome.report)))
    raise typer.Exit(outcome.verdict.exit_status)


@dataclass(frozen=True, slots=True)
class _Page:
    """Where it is, who may call it what, and whether it is opened at once."""

    host: str
    port: int
    allow_host: tuple[str, ...]
    browser: bool


@dataclass(frozen=True, slots=True)
class _Given:
    """The command line, as it is, but for the page."""

    scenario: str
    speed: str
    history: str
    duration: str | None
    seed: int | None
    feeder: str | None
    fleet: str | None
    meters: int | None
    network: NetworkModel | None
    out: Path
    database_url: str | None
    broker_url: str | None
    keep: bool
    compose: bool

    def lab(self, page: _Page, console: Console) -> tuple[RunRequest, Session]:
        """The request and the session that goes with it. Raises UserError with every fault."""
        faults = Faults("up")
        history_s = faults.parsed("--history", parse_duration, self.history)
        duration_s = faults.parsed("--duration", parse_duration, self.duration)
        speed = faults.speed(self.speed, least=0.0, above=True)
        faults.check_fleet_and_out(self.fleet, self.out)
        database_url = faults.secret("--database-url", self.database_url)
        broker_url = faults.secret("--broker-url", self.broker_url)
        scenario = faults.tried(
            lambda: given_scenario(
                self.scenario,
                seed=self.seed,
                feeder=self.feeder,
                fleet=self.fleet,
                meters=self.meters,
                network=self.network,
            )
        )
        site = self._site(faults, {"--database-url": database_url, "--broker-url": broker_url})
        faults.raise_any()
        assert scenario is not None, "what is wrong with it has been said"
        from lab.run.request import RunRequest

        session = _session(page, console, speed=speed, history_s=history_s or 0, duration_s=duration_s)
        request = RunRequest(
            scenario, self.out, speed, database_url, broker_url, self.keep, site=site, companion=session,
            feeder_option=self.feeder is not None,
        )  # fmt: skip
        return request, session

    def _site(self, faults: Faults, given: dict[str, str | None]) -> Site | None:
        """Containers, if they are asked for."""
        if not self.compose:
            return None
        faults.refuse_beside("--compose", given)
        from lab.containers.site import ContainerSite

        return faults.tried(lambda: ContainerSite(project_of(COMPOSE_DIRECTORY)))


def _session(page: _Page, console: Console, *, speed: float | None, history_s: int, duration_s: int | None) -> Session:
    from lab.live.server import PageServer, listen
    from lab.live.session import Session

    def tell(text: str) -> None:
        console.print(f"  {text}", highlight=False, markup=False, soft_wrap=True)

    def show(url: str, opening: Path) -> None:
        console.print(f"[bold]the page:[/] {escape(url)}", highlight=False, soft_wrap=True)
        if page.browser:
            webbrowser.open(opening.as_uri())

    server = PageServer(listen(page.host, page.port), page.host, secrets.token_urlsafe(24), tell, show, page.allow_host)
    return Session(speed=speed, history_s=history_s, duration_s=duration_s, serve=server.serving, tell=tell)
