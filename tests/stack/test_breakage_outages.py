"""A verdict that cannot fail is worthless: the criteria on outages fail when the lab is broken for them."""

from __future__ import annotations

from pathlib import Path

from tests.stack.labs import failed_criteria, live, scenario_text

SABOTAGE = "tests.stack.sabotage"
OUTAGES = """
[[event]]
at = "00:02:10"
kind = "outage"
device = "transformer"
duration = "22min"
select = { customers = [150, 200] }

[[event]]
at = "00:20"
kind = "uplink_loss"
duration = "12min"
select = { meters = 30 }

[[event]]
at = "00:32:05"
kind = "outage"
device = "transformer"
duration = "40s"
select = { customers = [50, 200] }
"""
UPLINK_LOSS = """
[[event]]
at = "00:20"
kind = "uplink_loss"
duration = "25min"
select = { collectors = 1 }
"""
SCENARIO = scenario_text(meters=300, duration="1h", events=OUTAGES)


def outage_criteria(failed: set[str]) -> set[str]:
    return {name.removeprefix("outages.") for name in failed if name.startswith("outages.")}


def test_outages_that_nobody_reports_are_missed(tmp_path: Path) -> None:
    """Silence and missed reads by themselves are no outage, so without events nothing is found, and nothing false."""
    result = live(tmp_path, SCENARIO, parts={"fleet": f"{SABOTAGE}.voiceless_fleet"})
    failed = failed_criteria(result)
    assert outage_criteria(failed) == {"recall", "momentary_recorded", "saidi_error_pct"}
    assert failed == {f"outages.{name}" for name in outage_criteria(failed)}


def test_a_meter_that_lies_makes_a_false_outage_and_wrong_records_a_wrong_place(tmp_path: Path) -> None:
    parts = {"fleet": f"{SABOTAGE}.lying_fleet", "headend": f"{SABOTAGE}.misled_headend"}
    result = live(tmp_path, SCENARIO, parts=parts)
    assert failed_criteria(result) == {"outages.false", "outages.localised"}
    detection = result.verdict.detection
    assert detection is not None
    (lie,) = detection.false
    assert (lie.customers, lie.duration_s) == (1, 330)
    assert detection.recall == 1.0


def test_a_head_end_that_takes_a_lost_uplink_for_an_outage_reports_false_ones(tmp_path: Path) -> None:
    """With a head-end of its right mind this very run passes: test_mixed_fleets.py has the same lost uplink."""
    text = scenario_text(meters=60, duration="1h", events=UPLINK_LOSS, fleet='preset = "mesh"')
    result = live(tmp_path, text, parts={"headend": f"{SABOTAGE}.gullible_headend"})
    assert failed_criteria(result) == {"outages.false", "outages.saidi_error_pct"}
    detection = result.verdict.detection
    assert detection is not None
    assert detection.injected == ()
    assert sum(outage.customers for outage in detection.false) == 60


def test_meters_that_tell_a_later_end_make_the_wrong_saidi(tmp_path: Path) -> None:
    result = live(tmp_path, SCENARIO, parts={"fleet": f"{SABOTAGE}.belated_fleet"})
    assert failed_criteria(result) == {"outages.saidi_error_pct"}
    detection = result.verdict.detection
    assert detection is not None
    assert 13 < detection.saidi_error_pct < 14, "three minutes of twenty-two"
