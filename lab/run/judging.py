"""From a lab, living or at its end, to its verdict: the three tables are collected, then compared."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.errors import UserError
from lab.fleet.plan import FleetPlan
from lab.fleet.table import write_fleet_table
from lab.headends.export import export_results
from lab.headends.store import Database, ExternalStore
from lab.headends.stored_source import fetch_stored
from lab.lockstep.link import Body
from lab.lockstep.timeline import Disturbance
from lab.report import LATENCIES, RunEvent, interruptions_of, write_report
from lab.run.layout import Layout
from lab.run.record import write_record
from lab.run.stage import GRID, Stage
from lab.scenario.load import Scenario
from lab.verdict.context import EXTERNAL, OWN, ClockFacts, FeederFacts, Host, RunContext
from lab.verdict.judge_files import judge_run
from lab.verdict.transformers import TRANSFORMER_METERS
from lab.verdict.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Judging:
    """What it takes to judge a run, at its end or on the way."""

    scenario: Scenario
    stage: Stage
    plan: FleetPlan
    grid: Body
    store: Database | ExternalStore
    broker_version: str

    async def collect(self, directory: Path, layout: Layout, *, start_s: int, end_s: int) -> int | None:
        """Write the tables and the fleet's description to `directory`; returns how many frames were rejected, if known.

        :param layout: where the parts write, to be brought to `directory`.
        """
        layout.hand_out_directory(layout.results)
        await self._collect_reference(directory, layout, end_s=end_s)
        layout.collect(directory)
        return await self._collect_stored(directory, start_s=start_s, end_s=end_s)

    async def _collect_reference(self, directory: Path, layout: Layout, *, end_s: int) -> None:
        """Truth and journal."""
        stage, results = self.stage, layout.results
        journal = layout.hand_out_directory(layout.journal(results))
        carried = self.scenario.network.on
        deliveries = layout.hand_out_directory(layout.deliveries(results)) if carried else None
        await asyncio.gather(
            stage.link.call(
                GRID,
                "finish",
                directory=layout.seen(results),
                interval_lengths_s=self.plan.everybody.interval_lengths_s(
                    len(self.grid["usage_points"]) + len(self.grid["transformer_points"])
                ),
                until_s=end_s,
            ),
            stage.finish_fleets(journal, deliveries),
        )
        write_fleet_table(directory / "meters.parquet", self.plan.fleet, self.plan.places)
        if (stations := self.plan.at_transformers) is not None:
            write_fleet_table(directory / TRANSFORMER_METERS, stations.fleet, stations.places)

    async def _collect_stored(self, directory: Path, *, start_s: int, end_s: int) -> int | None:
        path = directory / "stored.parquet"
        if isinstance(self.store, Database):
            return await asyncio.to_thread(export_results, self.store, path, start_s, end_s)
        await asyncio.to_thread(fetch_stored, self.store.source, path, start_s=start_s, end_s=end_s)
        return None

    async def collect_at_end(
        self, directory: Path, clock: ClockFacts, disturbances: Sequence[Disturbance]
    ) -> int | None:
        """The same, with what is known of a run's intake at its end.

        What is stored is fetched last, when the directory has all that it takes to judge the run another time.
        """
        stage = self.stage
        if isinstance(self.store, Database):
            await stage.read_ingest()
            stage.ingest.write_latencies(directory / LATENCIES)
        await self.keep_reference(directory, clock, disturbances)
        return await self._collect_stored(directory, start_s=clock.start_s, end_s=clock.end_s)

    async def keep_reference(self, directory: Path, clock: ClockFacts, disturbances: Sequence[Disturbance]) -> None:
        """Leave in `directory` what a run can be judged from, but for what is stored."""
        await self._collect_reference(directory, self.stage.layout, end_s=clock.end_s)
        self.stage.layout.collect(directory)
        self.record(directory, clock, disturbances)

    def record(self, directory: Path, clock: ClockFacts, disturbances: Sequence[Disturbance]) -> None:
        """Say what the run is, for who judges it another time."""
        events = [_run_event(disturbance) for disturbance in disturbances]
        write_record(directory, self.context(clock, None), events, self.scenario.criteria)

    def context(self, clock: ClockFacts, rejected: int | None) -> RunContext:
        grid = self.grid
        own = isinstance(self.store, Database)
        return RunContext(
            scenario=self.scenario.name,
            seed=self.scenario.seed,
            host=Host.here(
                database=self.store.version,
                timescaledb=self.store.timescaledb,
                broker=self.broker_version,
            ),
            feeder=FeederFacts(
                grid["name"],
                grid["buses"],
                len(grid["usage_points"]),
                grid["transformers"],
                grid["flow"],
                grid["time_zone"],
            ),
            clock=clock,
            ingest=self.stage.ingest.facts() if own else None,
            rejected_frames=rejected,
            collectors=len(self.plan.everybody.fleet.collectors),
            headend=OWN if own else EXTERNAL,
        )


def judge_and_report(
    directory: Path, context: RunContext, disturbances: Sequence[Disturbance], targets: Mapping[str, float]
) -> tuple[Verdict, Path]:
    """The verdict on the tables in `directory`, written there with its report; returns the report's path."""
    events = [_run_event(disturbance) for disturbance in disturbances]
    verdict = judge_run(directory, context, targets=targets, interruptions=interruptions_of(events))
    write_record(directory, context, events, targets)
    return verdict, write_report(directory, verdict, events)


@contextmanager
def judged_another_time(directory: Path) -> Iterator[None]:
    """A refusal of what is stored says how to go on: the run itself is over and whole."""
    try:
        yield
    except UserError as error:
        again = f"Nothing of the run is lost. Put it right, then: amilab judge {directory} --stored …"
        raise UserError(error.faults, "\n".join(filter(None, (error.hint, again)))) from error


def _run_event(disturbance: Disturbance) -> RunEvent:
    until_s = disturbance.until_s if disturbance.until_s > disturbance.from_s else None
    hit = tuple(disturbance.hit)
    return RunEvent(disturbance.from_s, disturbance.kind, disturbance.label, until_s, disturbance.target, hit)
