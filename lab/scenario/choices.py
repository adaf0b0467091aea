"""A scenario with what the command line names instead of its own."""

from __future__ import annotations

from pathlib import Path

from lab.scenario.load import Scenario, anchored_feeder


def with_choices(scenario: Scenario, feeder: str | None, fleet: str | None, meters: int | None) -> Scenario:
    """The scenario with the feeder and the meters that the command line names; files are seen from here."""
    changes: dict[str, object] = {}
    fleet_changes: dict[str, object] = {}
    if fleet is not None:
        fleet_changes |= {"preset": fleet, "profile": None}
    if feeder is not None:
        changes["feeder"] = scenario.feeder.model_copy(update={"name": anchored_feeder(feeder, Path.cwd())})
    if meters is not None:
        fleet_changes["meters"] = meters
    if fleet_changes:
        changes["fleet"] = scenario.fleet.model_copy(update=fleet_changes)
    return scenario.model_copy(update=changes)
