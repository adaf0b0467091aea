"""The report's section on the communications network: what it says, and that it is there with a model alone."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from lab.report import RunEvent, interruptions_of, write_report
from lab.report.communications import describe_communications
from lab.verdict.judge_files import judge_run
from meters.radio.passage import Cause, DeliveryClass
from tests.lab.report.test_report import outline, words
from tests.lab.verdict.network_frames import Air, all_classes, reads_of
from tests.lab.verdict.synthetic import (
    START_S,
    STEP_S,
    Dark,
    Run,
    instants,
    make_run,
    make_stations,
    write_with_transformers,
)

POINTS, INTERVALS = 24, 16
BROKER = RunEvent(
    START_S + 4 * STEP_S, "kill", "SIGKILL: broker, back after 180 s", START_S + 4 * STEP_S + 180, "broker"
)


def network_run() -> tuple[Run, Air]:
    """An outage of twelve with gasps, an alarm too many that was jammed, and three reads that are late."""
    run = make_run(POINTS, INTERVALS, darks=(Dark(0, 12, 8, 10),))
    air = all_classes(run)
    for number in range(12):
        arrives = None if number % 2 else 3.0
        air.frame(
            number, DeliveryClass.GASP, 8 * STEP_S + 45, arrives, about=500 + number, cause=Cause.COLLISION, lit=False
        )
    for number in range(4):
        air.frame(
            13, DeliveryClass.ALARM, 61.0, None, about=600 + number, cause=Cause.JAMMED, attempts=6 * (number % 2)
        )
    for number in range(3):
        air.frame(14, DeliveryClass.ALARM, 62.0, None, about=700 + number, cause=Cause.COLLECTOR, attempts=0)
    point, interval = run.stored["usage_point"], run.stored["interval_start"].astype("datetime64[s]").astype(np.int64)

    def late(number: int, of: int) -> None:
        row = np.flatnonzero((point == f"UP{number:05d}") & (interval == START_S + of * STEP_S))
        run.stored["committed_at"][row] = instants(np.array(START_S + 15_000))

    late(13, 3)
    late(20, 5)
    for row in air.rows:
        if (row["serial"], row["about"]) == ("AMI00000020", START_S + 5 * STEP_S):
            row |= {"arrived_at": None, "cause": int(Cause.JAMMED)}
    late(21, 12)
    return run, air


def report(directory: Path, run: Run, air: Air | None, events: tuple[RunEvent, ...] = (BROKER,)) -> Path:
    run_dir = run.write(directory)
    if air is not None:
        air.write(run_dir)
    verdict = judge_run(run_dir, run.context(), interruptions=interruptions_of(events))
    return write_report(run_dir, verdict, events)


@pytest.fixture(scope="module")
def modelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report(tmp_path_factory.mktemp("network") / "run", *network_run())


def test_without_a_model_the_report_has_nothing_of_it(tmp_path: Path, modelled: Path) -> None:
    plain = report(tmp_path / "run", network_run()[0], None).read_text()
    assert "ommunications" not in plain
    assert "RFC 8036" not in plain
    assert ".network " not in plain
    assert "h-communications" in modelled.read_text()


def test_delivery_is_told_by_class(modelled: Path) -> None:
    text = words(modelled)
    assert "Communications network" in text
    # 100 of 104: cut, not rounded.
    assert "✗ not met mesh C1, outages and restorations 5 s 104 96.15 % 2 s 2 s 100 0 5 collector 3, jammed 2" in text
    assert "✓ met mesh C2, power quality, connect and disconnect 10 s 100 100.00 % 4 s 4 s 100 0 0" in text


def test_gasps_reasons_and_carriers_are_told(modelled: Path) -> None:
    text = words(modelled)
    assert "mesh 11-100 1 12 6 50.00 % 0" in text
    for row in ("broker 1 0", "head-end 1 0", "radio 1 0"):
        assert row in text
    assert "collision 6, jammed 3" in text
    assert "Worst collectors and cells" in text
    assert "Hops to the collector: mesh" in text
    assert "hops-mesh-title" in outline(modelled).ids


def test_discrepancies_have_the_networks_reasons(modelled: Path) -> None:
    text = (modelled.parent / "discrepancies.csv").read_bytes().decode("utf-8-sig")
    rows = {row["serial"]: row for row in csv.DictReader(io.StringIO(text, newline="")) if row["kind"] == "late"}
    assert {serial[-2:]: row["cause"] for serial, row in rows.items()} == {
        "13": "broker", "20": "radio (jammed)", "21": "head-end",
    }  # fmt: skip


def test_names_of_carriers_cannot_break_the_page(tmp_path: Path) -> None:
    run, air = network_run()
    for row in air.rows:
        row["via"] = "<script>alert(1)</script>" if row["via"] == "collector-1" else row["via"]
    path = report(tmp_path / "run", run, air)
    assert "<script>alert(1)" not in path.read_text()
    assert "alert(1)" in words(path)


def test_a_power_line_has_no_mark(tmp_path: Path) -> None:
    run, air = network_run()
    for row in air.rows:
        row["technology"] = "plc"
    text = words(report(tmp_path / "run", run, air))
    assert "plc C1, outages and restorations 5 s 104 96.15 %" in text
    assert "met plc" not in text


def test_a_failed_class_leads_to_its_messages(modelled: Path) -> None:
    text = modelled.read_text()
    assert '<a href="#h-communications">Which messages</a>' in text


def test_meters_at_transformers_have_reasons_of_their_own(tmp_path: Path) -> None:
    run, stations = make_run(4, 8), make_stations(2, 8)
    stations.fleet["protocol"] = np.full(2, "modbus")
    stations.drop("stored", [3])
    run_dir = reads_of(run).write(write_with_transformers(tmp_path / "run", run, stations))
    told = describe_communications(judge_run(run_dir, run.context()))
    assert told is not None
    assert told.reasons == ()
    assert [(row.reason, row.missing, row.share) for row in told.transformer_reasons] == [("head-end", 1, 1.0)]
