"""The vendor at fault, and each finding down to meter, interval and frame."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from lab.report import write_report
from lab.report.events import RunEvent
from lab.verdict.judge_files import judge_run
from tests.lab.report import surroundings
from tests.lab.report.test_report import words
from tests.lab.report.text import first
from tests.lab.verdict.synthetic import START_S, STEP_S, Dark, Run, instants, make_run

EVENTS = (RunEvent(START_S + 5 * STEP_S, "uplink_loss", "one meter without uplink", START_S + 6 * STEP_S),)


def two_vendors(points: int = 8, intervals: int = 12, **changes: Any) -> Run:
    """The second half is of a vendor that reports every two intervals, through COL0001."""
    run = make_run(points, intervals, **changes)
    second = np.arange(points) >= points // 2
    run.fleet["vendor_profile"] = np.where(second, "mesh", "direct").astype(object)
    run.fleet["protocol"] = np.where(second, "sparkplug", "mqtt").astype(object)
    run.fleet["collector"] = np.where(second, "COL0001", "").astype(object)
    run.fleet["report_every_s"] = np.where(second, 2 * STEP_S, STEP_S)
    return run


def row_of(run: Run, table: str, point: int, interval: int) -> int:
    columns = getattr(run, table)
    at = instants(np.array([START_S + interval * STEP_S]))[0]
    return int(np.flatnonzero((columns["usage_point"] == f"UP{point:05d}") & (columns["interval_start"] == at))[0])


def vendors(path: Path) -> dict[str, str]:
    """The text of each vendor's row."""
    text = path.read_text(encoding="utf-8")
    table = first(r'<table class="vendors">.*?</table>', text, flags=re.S).group()
    rows = re.findall(r"<tr class=.*?</tr>", table, flags=re.S)
    plain = [re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", row)).strip() for row in rows]
    return {first(r"direct|mesh", row).group(): row for row in plain}


def test_the_vendor_at_fault_is_marked_and_the_other_is_not(tmp_path: Path) -> None:
    run = two_vendors()
    run.stored["import_wh"][row_of(run, "stored", 5, 3)] += 4
    run.drop("stored", [row_of(run, "stored", 6, 3)])
    run.stored["committed_at"][row_of(run, "stored", 1, 4)] += np.timedelta64(2, "h")
    run_dir = run.write(tmp_path / "run")
    found = vendors(write_report(run_dir, judge_run(run_dir, run.context()), EVENTS))
    assert found["mesh"].startswith("✗ at fault mesh sparkplug, 15 min / 30 min, 1 collector 1 lost, 1 altered:")
    assert "66.6 % of all discrepancies" in found["mesh"]
    assert "97.9 % on time, target 98 %" in found["mesh"]
    assert found["direct"].startswith("▾ short direct mqtt, 15 min 97.9 % on time, target 98 %")


def test_what_a_vendor_is_not_blamed_for(tmp_path: Path) -> None:
    """Late by the short deadline, in time by the long one."""
    run = two_vendors()
    run.stored["committed_at"][row_of(run, "stored", 5, 3)] += np.timedelta64(STEP_S + 300, "s")
    run_dir = run.write(tmp_path / "run")
    found = vendors(write_report(run_dir, judge_run(run_dir, run.context()), EVENTS))
    assert found["mesh"].startswith("✓ in order mesh")
    assert found["direct"].startswith("✓ in order direct")
    assert " 4 48 100 % 0 0 0 0 0 0 0.49 – – –" in found["mesh"]


def test_gasps_events_and_dead_letters_go_to_their_vendors(tmp_path: Path) -> None:
    run = two_vendors(darks=(Dark(0, 6, 2, 6),))
    run_dir = run.write(tmp_path / "run")
    from_s, to_s = 2.0 * STEP_S, 6.0 * STEP_S
    gasps = {0: from_s + 40, 1: from_s + 44, 4: from_s + 50}
    shares = [("1", f"UP{i:05d}", from_s + 66, from_s, to_s, gasps.get(i)) for i in range(6)]
    surroundings.write_detected(run_dir, shares)
    recorded = [(f"AMI{i:08d}", 1, "last_gasp") for i in range(6)]
    surroundings.write_events(run_dir, recorded, recorded[:3] + recorded[4:])
    letters = [
        (10.0, "spBv1.0/lab/NDATA/COL0001", "bad", b"\x00"),
        (11.0, "spBv1.0/lab/DDATA/COL0001/AMI00000007", "bad", b"\x00"),
        (12.0, "dt/lab/somebody/ds", "unknown_device", b"{}"),
    ]
    surroundings.write_dead_letters(run_dir, letters)
    found = vendors(write_report(run_dir, judge_run(run_dir, run.context()), EVENTS))
    assert found["direct"].endswith(" 50 % 75 % 0")
    assert found["mesh"].endswith(" 50 % 100 % 2")


def test_a_lost_read_opens_to_its_meter_window_frames_events_and_dead_letters(tmp_path: Path) -> None:
    run = two_vendors()
    gone = row_of(run, "stored", 6, 5)
    recorded = int(run.journal["import_wh"][row_of(run, "journal", 6, 5)])
    run.drop("stored", [gone])
    run_dir = run.write(tmp_path / "run")
    surroundings.write_communication(run_dir, [("UP00006", 4700.0, False), ("UP00006", 6000.0, True)])
    letters = [
        (6.1 * STEP_S, "spBv1.0/lab/DDATA/COL0001/AMI00000006", "malformed", bytes(range(200, 250))),
        (6.2 * STEP_S, "spBv1.0/lab/DDATA/COL0001/AMI00000007", "not_its_own", b"\xaa"),
        (6.3 * STEP_S, "spBv1.0/lab/NDATA/COL0001", "of_its_collector", b"\xbb"),
        (1.0 * STEP_S, "spBv1.0/lab/DDATA/COL0001/AMI00000006", "long_before", b"\xcc"),
    ]
    surroundings.write_dead_letters(run_dir, letters)
    text = words(write_report(run_dir, judge_run(run_dir, run.context()), EVENTS))
    assert "AMI00000006, mesh over sparkplug through COL0001" in text
    assert "deadline 2026-01-15 02:05:00 (interval's end + 1800 s + 300 s)" in text
    assert "not heard 2026-01-15 01:18:20 to 2026-01-15 01:40:00" in text
    assert "1 one meter without uplink (2026-01-15 01:15:00)" in text
    assert f"import Wh {run.truth['import_wh'][6 * 12 + 5]:,.2f} {recorded:,} –" in text
    assert "measured – 2026-01-15 01:15:00 to 2026-01-15 01:30:00 –" in text
    frame = "2026-01-15 01:30:00 yes"
    assert frame in text
    assert "malformed: as the test has it 50 c8 c9 ca" in text
    assert "of_its_collector" in text
    assert "not_its_own" not in text
    assert "long_before" not in text


def test_an_altered_read_shows_the_three_sides_and_names_the_channel(tmp_path: Path) -> None:
    run = two_vendors()
    row = row_of(run, "stored", 2, 3)
    run.stored["voltage_l2_v"][row] += 3.0
    run_dir = run.write(tmp_path / "run")
    path = write_report(run_dir, judge_run(run_dir, run.context()), EVENTS)
    text = path.read_text(encoding="utf-8")
    differing = re.findall(r'<tr class="differs">(.*?)</tr>', text, flags=re.S)
    assert len(differing) == 1
    assert "voltage by phase V" in differing[0]
    assert "what lies between the meter and the database" in text


def test_a_duplicate_shows_both_rows(tmp_path: Path) -> None:
    run = two_vendors()
    run.double("stored", [row_of(run, "stored", 2, 3)])
    run_dir = run.write(tmp_path / "run")
    text = words(write_report(run_dir, judge_run(run_dir, run.context()), EVENTS))
    assert "truth journal stored stored import Wh" in text


def test_a_finding_of_nobodys_meter_is_shown_as_far_as_it_goes(tmp_path: Path) -> None:
    run = two_vendors()
    run.double("stored", [0])
    for name, value in (("usage_point", "UP-strange"), ("serial", "strange")):
        run.stored[name] = run.stored[name].astype(object)
        run.stored[name][-1] = value
    run_dir = run.write(tmp_path / "run")
    text = words(write_report(run_dir, judge_run(run_dir, run.context()), EVENTS))
    assert "UP-strange" in text
    assert "meter none at this usage point" in text
