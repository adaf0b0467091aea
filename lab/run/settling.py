"""How long a lab lives on after its judged window, so that all that was measured in it can be stored."""

from __future__ import annotations

import math

from lab.fleet.plan import Vendors
from lab.scenario.model import Scenario
from meters.radio.parameters import load_parameters


def settled_s(scenario: Scenario, vendors: Vendors, *, start_s: int, end_s: int) -> int:
    """When all that was measured from `start_s` to `end_s` has had its chance to be stored: also of who registers late.

    All are instants [epoch s].
    """
    network, registered_s = scenario.network, start_s
    if network.on:
        registered_s += math.ceil(load_parameters(network.overrides()).plc.late_most_s)
    return vendors.settled_s(end_s, scenario.settle_s, registered_s=registered_s)
