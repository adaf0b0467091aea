"""The scenario that a command line names, with what it names instead of the scenario's own."""

from __future__ import annotations

from lab.scenario.choices import with_choices
from lab.scenario.load import Scenario, load_scenario
from lab.scenario.network import NetworkModel


def given_scenario(
    name: str,
    *,
    seed: int | None,
    feeder: str | None,
    fleet: str | None,
    meters: int | None,
    duration_s: int | None = None,
    network: NetworkModel | None = None,
) -> Scenario:
    """Raises UserError with every fault."""
    # What all criteria need is loaded only when a scenario is.
    from lab.verdict.criteria import CRITERIA

    known = [criterion.id for criterion in CRITERIA]
    loaded = load_scenario(name, seed=seed, duration_s=duration_s, known_criteria=known)
    return with_choices(loaded, feeder, fleet, meters, network)
