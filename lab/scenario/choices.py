"""A scenario with what the command line names instead of its own."""

from __future__ import annotations

from pathlib import Path

from lab.errors import UserError
from lab.fleet.presets import anchored_shares, parse_fleet
from lab.fleet.vendors import FLEET_HINT, vendor_mix
from lab.scenario.load import FleetChoice, Scenario, anchored_feeder
from lab.scenario.network import NetworkModel


def with_choices(
    scenario: Scenario, feeder: str | None, fleet: str | None, meters: int | None, network: NetworkModel | None = None
) -> Scenario:
    """The scenario with what the command line names instead of its own; files are seen from here.

    Raises UserError: a vendor profile of its fleet is unknown or faulty.
    """
    choice = chosen_fleet(scenario.fleet, fleet)
    changes: dict[str, object] = {"fleet": choice if meters is None else choice.model_copy(update={"meters": meters})}
    if feeder is not None:
        # Another place has other clocks.
        elsewhere = {"name": anchored_feeder(feeder, Path.cwd()), "time_zone": None}
        changes["feeder"] = scenario.feeder.model_copy(update=elsewhere)
    if network is not None:
        changes["network"] = scenario.network.model_copy(update={"model": network})
    return scenario.model_copy(update=changes)


def chosen_fleet(choice: FleetChoice, option: str | None) -> FleetChoice:
    """The scenario's choice, or what `--fleet` says. Raises UserError as `with_choices` does."""
    if option is not None:
        try:
            choice = choice.of(anchored_shares(parse_fleet(option), Path.cwd()))
        except ValueError as error:
            raise UserError(f"--fleet: {error}", FLEET_HINT) from error
    vendor_mix(choice.by_profile, choice.interval_s)
    return choice
