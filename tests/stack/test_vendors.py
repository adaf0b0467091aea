"""A fleet of every vendor that there is, one of them brought by another distribution, in one lab."""

from __future__ import annotations

import json
from pathlib import Path

from meters.vendors.registry import known_profiles, load_profile
from tests.stack.labs import amilab, scenario_text
from tests.stack.test_mixed_fleets import FAULTS, PHANTOM

ACME = Path(__file__).parents[1] / "vendors" / "acme"
POLLED, OTHERS = 6, 54
"""Meters of each vendor. Each that is polled misses an interval or two while the head-end is down: they are few."""


def test_each_vendor_passes_beside_the_others(tmp_path: Path) -> None:
    profiles = {name: load_profile(name) for name in known_profiles()}
    meters = {name: POLLED if each.capabilities.needs_gateway else OTHERS for name, each in profiles.items()}
    meters["acme-dm3"] = POLLED
    count = sum(meters.values())
    shares = ", ".join(f"{name} = {share / count}" for name, share in meters.items())
    text = scenario_text(meters=count, duration="4h", events=PHANTOM + FAULTS, fleet=f"shares = {{ {shares} }}")
    scenario = tmp_path / "all.toml"
    scenario.write_text(text)
    out = tmp_path / "runs"
    process = amilab("run", scenario, "--out", out, PYTHONPATH=f"{ACME}:{Path(__file__).parents[2]}")
    said, faults = process.communicate(timeout=500)
    assert process.returncode == 0, said + faults
    verdict = json.loads((out / "latest" / "verdict.json").read_text())
    assert verdict["passed"]
    assert verdict["fleet"]["by_vendor"] == meters
    assert verdict["reads"]["estimated"] >= 3 * POLLED, "nobody polled while the head-end was down"
