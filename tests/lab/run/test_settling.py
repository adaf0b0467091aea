"""When a window may be judged."""

from __future__ import annotations

import pytest

from lab.fleet.plan import Vendors
from lab.run.settling import settled_s
from lab.scenario.load import parse_scenario

HOUR_S = 3_600
TEXT = """
[scenario]
name = "short"
start = 2026-01-15T00:00:00Z
duration = "1h"
settle = "30min"
seed = 7
[feeder]
name = "schutterwald"
[fleet]
profile = "{profile}"
meters = 20
"""


@pytest.mark.parametrize(
    ("profile", "network", "hours"),
    [
        ("sparkplug-plc", "[network.plc]\nlate_most_s = 28800.0", 8.5),
        ("sparkplug-plc", '[network]\nmodel = "none"', 1.5),
        ("rl-dsp", "[network.plc]\nlate_most_s = 28800.0", 1.5),
    ],
    ids=["late on a power line", "without a network", "without a power line"],
)
def test_whoever_may_register_late_is_waited_for(profile: str, network: str, hours: float) -> None:
    scenario = parse_scenario(TEXT.format(profile=profile) + network, "file.toml")
    start_s = scenario.start_s
    vendors = Vendors(scenario.fleet.by_profile, scenario.fleet.interval_s)
    found_s = settled_s(scenario, vendors, start_s=start_s, end_s=start_s + HOUR_S)
    assert (found_s - start_s) / HOUR_S == pytest.approx(hours)
