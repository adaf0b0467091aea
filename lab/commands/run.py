"""The command `amilab run`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

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
from lab.commands.paths import shown_path
from lab.commands.refusal import failures_shown
from lab.commands.secret_option import AT_FILE
from lab.processes.private_environment import STORED
from lab.run.progress import RunProgress
from lab.scenario.load import parse_duration
from lab.scenario.network import NetworkModel

if TYPE_CHECKING:
    from lab.headends.external import ExternalHeadEnd
    from lab.run.request import RunRequest
    from lab.run.site import Site


class HeadEndChoice(StrEnum):
    """Whose head-end is judged."""

    AMILAB = "amilab"
    EXTERNAL = "external"


HeadEnd = Annotated[
    HeadEndChoice,
    typer.Option(
        help="[b]amilab[/b]: our own. [b]external[/b]: yours, which reads the run's broker and is judged by what "
        "--stored has at the end; needs --speed 1. See docs/external-head-end.md."
    ),
]


def run(
    scenario: Scenario,
    seed: Seed = None,
    speed: Annotated[
        str,
        typer.Option(
            help="[b]max[/b]: as fast as the work takes. A number: at most that many times real time, in lockstep. "
            "[b]1[/b]: on the wall clock, without a barrier."
        ),
    ] = "max",
    duration: Annotated[str | None, typer.Option(help="Instead of the scenario's duration: 90min, 24h.")] = None,
    feeder: Feeder = None,
    fleet: Fleet = None,
    meters: Meters = None,
    network: Network = None,
    out: Out = RUNS,
    database_url: DatabaseUrl = None,
    broker_url: BrokerUrl = None,
    headend: HeadEnd = HeadEndChoice.AMILAB,
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
    keep: Keep = False,
    compose: Compose = False,
    swarm: Annotated[
        bool, typer.Option("--swarm", help="Run in the same containers on the Docker Swarm of this machine.")
    ] = False,
) -> None:
    """Run a scenario to its verdict.

    Exit code 0: every criterion passed. 1: one failed. 2: bad input or surroundings. 3: a part of the lab crashed.
    """
    console = Console(stderr=False, soft_wrap=False)
    with failures_shown("the containers wait for the next run" if compose or swarm else "nothing was left running"):
        given = _Given(
            scenario, seed, speed, duration, feeder, fleet, meters, network, out, database_url, broker_url, headend,
            stored, lead, keep, compose, swarm,
        )  # fmt: skip
        request = given.request()
        # Heavy imports wait until the scenario is known to be good: a typing error is answered at once.
        from lab.run.run import run as run_lab

        outcome = until_interrupted(run_lab(request, RunProgress(console)))
    from lab.verdict.summary import summary

    console.print(summary(outcome.verdict, report=shown_path(outcome.report)))
    raise typer.Exit(outcome.verdict.exit_status)


@dataclass(frozen=True, slots=True)
class _Given:
    """The command line, as it is."""

    scenario: str
    seed: int | None
    speed: str
    duration: str | None
    feeder: str | None
    fleet: str | None
    meters: int | None
    network: NetworkModel | None
    out: Path
    database_url: str | None
    broker_url: str | None
    headend: HeadEndChoice
    stored: str | None
    lead: str | None
    keep: bool
    compose: bool
    swarm: bool

    def request(self) -> RunRequest:
        """What is asked for. Raises UserError with every fault."""
        from lab.headends.external import faults_with_external_head_end

        faults = Faults("run")
        speed = faults.speed(self.speed, least=1.0)
        duration_s = faults.parsed("--duration", parse_duration, self.duration)
        faults.check_fleet_and_out(self.fleet, self.out)
        database_url = faults.secret("--database-url", self.database_url)
        broker_url = faults.secret("--broker-url", self.broker_url)
        stored = faults.secret("--stored", self.stored)
        scenario = faults.tried(
            lambda: given_scenario(
                self.scenario, seed=self.seed, duration_s=duration_s,
                feeder=self.feeder, fleet=self.fleet, meters=self.meters, network=self.network,
            )
        )  # fmt: skip
        if self.headend is HeadEndChoice.EXTERNAL and scenario is not None:
            faults.add(
                *faults_with_external_head_end(
                    scenario, real_time=speed == 1.0, database_url=database_url, stored=stored
                )
            )
        external = self._external(faults, stored)
        site = self._site(faults, {"--database-url": database_url, "--broker-url": broker_url})
        faults.raise_any()
        assert scenario is not None, "what is wrong with it has been said"
        from lab.run.request import RunRequest

        return RunRequest(
            scenario, self.out, speed, database_url, broker_url, self.keep, external, site,
            feeder_option=self.feeder is not None,
        )  # fmt: skip

    def _external(self, faults: Faults, stored: str | None) -> ExternalHeadEnd | None:
        """A head-end that is not ours, if it is asked for."""
        if self.headend is not HeadEndChoice.EXTERNAL:
            given = {"--stored": stored, "--lead": self.lead}
            faults.add(*(f"{option} is for --headend external" for option, value in given.items() if value))
            return None
        from lab.headends.external import DEFAULT_LEAD_S, ExternalHeadEnd
        from lab.headends.stored_source import parse_stored

        lead_s = faults.parsed("--lead", parse_duration, self.lead)
        source = None if stored is None else faults.tried(partial(parse_stored, stored))
        return None if source is None else ExternalHeadEnd(source, DEFAULT_LEAD_S if lead_s is None else lead_s)

    def _site(self, faults: Faults, given: dict[str, str | None]) -> Site | None:
        """Containers, if they are asked for."""
        if not (self.compose or self.swarm):
            return None
        if self.compose and self.swarm:
            faults.add("--compose and --swarm exclude each other")
            return None
        external = self.headend is HeadEndChoice.EXTERNAL
        faults.refuse_beside("--swarm" if self.swarm else "--compose", {**given, "--headend external": external})
        from lab.containers.site import ContainerSite

        return faults.tried(lambda: ContainerSite(project_of(COMPOSE_DIRECTORY, swarm=self.swarm)))
