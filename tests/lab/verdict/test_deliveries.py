"""What a communications network delivered: each class fails for its own reason, and nothing of it without a model."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.verdict.deliveries import size_of
from lab.verdict.judge_files import judge_files, judge_run
from lab.verdict.tables import CAUSES, GASP, REPORTED, TableError
from lab.verdict.verdict import Verdict
from meters.fleet.urgency import CLASS_OF
from meters.radio.passage import Cause, DeliveryClass, Direction
from tests.lab.verdict.network_frames import Air, all_classes, reads_of
from tests.lab.verdict.synthetic import START_S, STEP_S, Dark, Run, make_run

POINTS, INTERVALS = 12, 16
MESH = {"network.c1_alarms", "network.c2_control", "network.c3_system", "network.c4_reads"}


def judged(directory: Path, air: Air, run: Run | None = None) -> Verdict:
    run = run or make_run(POINTS, INTERVALS)
    return judge_files(air.write(run.write(directory)), run.context())


def failed(verdict: Verdict) -> set[str]:
    return {result.id for result in verdict.criteria if not result.passed}


def ids(verdict: Verdict) -> set[str]:
    return {result.id for result in verdict.criteria}


def in_json(verdict: Verdict) -> dict[str, Any]:
    document = verdict.to_json()["network"]
    assert isinstance(document, dict)
    return document


def test_words_of_the_verdict_are_those_of_the_meters() -> None:
    names = [cause.name.lower().replace("_", " ") for cause in Cause]
    assert names == list(CAUSES)
    assert [int(cause) for cause in Cause] == list(range(len(CAUSES)))
    assert {*REPORTED, GASP} == {int(cls) for cls in DeliveryClass}


def test_the_head_ends_figures_have_each_event_in_the_class_that_meters_send_it_by() -> None:
    text = (Path(__file__).parents[3] / "headend" / "migrations" / "0040.network.sql").read_text(encoding="utf-8")
    told = {
        code: (int(cls), float(within_s))
        for code, cls, within_s in re.findall(r"\('(\w+)', 'C(\d), .*?', (\d+)\)", text)
    }
    sent = {code: cls for code, cls in CLASS_OF.items() if cls is not DeliveryClass.GASP}
    assert told == {str(code): (int(cls), REPORTED[cls].within_s) for code, cls in sent.items()}


def test_without_a_model_there_is_nothing_of_it(tmp_path: Path) -> None:
    run = make_run(POINTS, INTERVALS)
    run_dir = run.write(tmp_path / "run")
    verdict = judge_run(run_dir, run.context())
    assert not any(name.startswith("network.") for name in ids(verdict))
    assert "network" not in json.loads((run_dir / "verdict.json").read_text())
    assert not (run_dir / "deliveries_by_meter.parquet").exists()


def test_a_mesh_in_order_passes(tmp_path: Path) -> None:
    verdict = judged(tmp_path / "run", all_classes(make_run(POINTS, INTERVALS)))
    assert failed(verdict) == set()
    assert ids(verdict) >= MESH
    reads = in_json(verdict)["delivery"]["mesh"]["c4_reads"]
    assert (reads["sent"], reads["in_time"], reads["share"]) == (POINTS * INTERVALS, POINTS * INTERVALS, 1.0)
    assert reads["delay_s"] == {"p50": 1.0, "p95": 1.0}


LIMITS = [
    (DeliveryClass.ALARM, 5.0, "network.c1_alarms"),
    (DeliveryClass.CONTROL, 10.0, "network.c2_control"),
    (DeliveryClass.SYSTEM, 30.0, "network.c3_system"),
]


@pytest.mark.parametrize(("cls", "within_s", "criterion"), LIMITS, ids=lambda v: v if isinstance(v, str) else "")
def test_each_class_passes_at_its_limit_and_fails_above_it(
    tmp_path: Path, cls: DeliveryClass, within_s: float, criterion: str
) -> None:
    run = make_run(POINTS, INTERVALS)

    def with_delay(delay_s: float | None, of_100: int) -> Air:
        air = reads_of(run)
        for number in range(100):
            air.frame(number % POINTS, cls, 60.0 * number, delay_s if number < of_100 else 0.5, about=number)
        return air

    assert failed(judged(tmp_path / "at", with_delay(within_s, 100))) == set()
    assert failed(judged(tmp_path / "two", with_delay(within_s + 1e-3, 2))) == set()
    assert failed(judged(tmp_path / "three", with_delay(within_s + 1e-3, 3))) == {criterion}
    assert failed(judged(tmp_path / "never", with_delay(None, 3))) == {criterion}


def test_reads_have_two_hours_over_all_their_frames(tmp_path: Path) -> None:
    def again(after_s: float) -> Air:
        air = Air()
        for number in range(POINTS):
            air.read(number, 0, 900.0, None, cause=Cause.RADIO)
            air.read(number, 0, 900.0 + after_s)
        return air

    verdict = judged(tmp_path / "in-time", again(7199.0))
    assert "network.c4_reads" not in failed(verdict)
    assert in_json(verdict)["delivery"]["mesh"]["c4_reads"]["sent"] == POINTS
    assert "network.c4_reads" in failed(judged(tmp_path / "late", again(7200.0)))


def of_the_dark(air: Air) -> None:
    for number in range(50):
        air.frame(0, DeliveryClass.ALARM, 60.0 * number, None, about=1000 + number, cause=Cause.DARK, lit=False)


def before_the_window(air: Air) -> None:
    for number in range(50):
        air.frame(0, DeliveryClass.ALARM, -60.0 * (number + 1), None, about=1000 + number)


def of_another_technology(air: Air) -> None:
    for number in range(50):
        air.frame(1, DeliveryClass.ALARM, 60.0 * number, None, about=1000 + number, technology="cellular")


def last_gasps(air: Air) -> None:
    for number in range(50):
        air.frame(0, DeliveryClass.GASP, 60.0 * number, None, about=1000 + number, lit=False)


def unsent(air: Air, cause: Cause, **more: Any) -> None:
    for number in range(50):
        air.frame(0, DeliveryClass.ALARM, 60.0 * number, None, about=1000 + number, cause=cause, attempts=0, **more)


def to_a_dead_collector(air: Air) -> None:
    unsent(air, Cause.COLLECTOR)


def over_relays_in_the_dark(air: Air) -> None:
    unsent(air, Cause.DARK)


def not_even_sent_by_the_dark(air: Air) -> None:
    unsent(air, Cause.BACKHAUL, lit=False)


def at_the_very_end(air: Air) -> None:
    end_s = INTERVALS * 900
    for number in range(50):
        air.frame(0, DeliveryClass.ALARM, end_s - 3.0, None, about=5000 + number)


@pytest.mark.parametrize(
    "beside",
    [
        of_the_dark,
        before_the_window,
        of_another_technology,
        last_gasps,
        to_a_dead_collector,
        over_relays_in_the_dark,
        not_even_sent_by_the_dark,
        at_the_very_end,
    ],
    ids=lambda each: each.__name__,
)
def test_what_the_criteria_do_not_count(tmp_path: Path, beside: Callable[[Air], None]) -> None:
    run = make_run(POINTS, INTERVALS)
    air = all_classes(run)
    beside(air)
    assert failed(judged(tmp_path / "run", air)) == set()


def test_what_is_not_counted_is_told(tmp_path: Path) -> None:
    run = make_run(POINTS, INTERVALS)
    air = all_classes(run)
    for beside in (of_another_technology, to_a_dead_collector, at_the_very_end):
        beside(air)
    delivery = in_json(judged(tmp_path / "run", air))["delivery"]
    assert delivery["cellular"]["c1_alarms"]["share"] == 0.0
    mesh = delivery["mesh"]["c1_alarms"]
    assert (mesh["unsent"], mesh["open"], mesh["wanted"], mesh["sent"]) == ({"collector": 50}, 50, 150, 150)


@pytest.mark.parametrize("cause", [Cause.JAMMED, Cause.RADIO, Cause.BACKHAUL])
def test_what_finds_no_way_is_not_in_time(tmp_path: Path, cause: Cause) -> None:
    """Else a mesh that carries nothing at all would be in order."""
    air = all_classes(make_run(POINTS, INTERVALS))
    unsent(air, cause)
    verdict = judged(tmp_path / "run", air)
    assert failed(verdict) == {"network.c1_alarms"}
    mesh = in_json(verdict)["delivery"]["mesh"]["c1_alarms"]
    assert (mesh["wanted"], mesh["sent"], mesh["in_time"]) == (150, 100, 100)
    assert mesh["unsent"] == {CAUSES[cause]: 50}


def test_a_message_counts_from_when_it_was_wanted(tmp_path: Path) -> None:
    air = all_classes(make_run(POINTS, INTERVALS))
    for number in range(5):
        air.frame(0, DeliveryClass.ALARM, 600.0, None, about=1000 + number, cause=Cause.JAMMED, attempts=0)
        air.frame(0, DeliveryClass.ALARM, 630.0, None, about=1000 + number, cause=Cause.JAMMED, attempts=3)
        air.frame(0, DeliveryClass.ALARM, 690.0, 1.0, about=1000 + number)
    run_dir = air.write(make_run(POINTS, INTERVALS).write(tmp_path / "run"))
    verdict = judge_run(run_dir, make_run(POINTS, INTERVALS).context())
    assert failed(verdict) == {"network.c1_alarms"}
    mesh = in_json(verdict)["delivery"]["mesh"]["c1_alarms"]
    assert (mesh["wanted"], mesh["arrived"], mesh["in_time"], mesh["unsent"]) == (105, 105, 100, {})
    told = "AMI00000000 via collector-0 not sent 2026-01-15T00:10:00Z arrived after 91 s: jammed"
    assert told in (run_dir / "junit.xml").read_text()


@pytest.mark.parametrize(
    "held", [{"cause": Cause.COLLECTOR}, {"cause": Cause.DARK}, {"cause": Cause.BACKHAUL, "lit": False}]
)
def test_a_message_does_not_count_while_supply_is_what_it_waits_for(tmp_path: Path, held: dict[str, Any]) -> None:
    air = all_classes(make_run(POINTS, INTERVALS))
    for number in range(5):
        air.frame(0, DeliveryClass.ALARM, 600.0, None, about=1000 + number, attempts=0, **held)
        air.frame(0, DeliveryClass.ALARM, 690.0, 1.0, about=1000 + number)
    verdict = judged(tmp_path / "run", air)
    assert failed(verdict) == set()
    mesh = in_json(verdict)["delivery"]["mesh"]["c1_alarms"]
    assert (mesh["wanted"], mesh["in_time"], mesh["delay_s"]["p95"]) == (105, 105, 2.0)


def test_a_registration_is_one_message_however_often_it_is_tried(tmp_path: Path) -> None:
    air = all_classes(make_run(POINTS, INTERVALS))
    for try_s in (600.0, 630.0, 690.0):
        air.frame(0, DeliveryClass.SYSTEM, try_s, None, about=-1_768_435_800, cause=Cause.JAMMED, attempts=0)
    for _ in range(2):
        air.frame(0, DeliveryClass.SYSTEM, 600.0, about=-1)
    assert in_json(judged(tmp_path / "run", air))["delivery"]["mesh"]["c3_system"]["wanted"] == 100 + 1 + 2


def test_other_technologies_have_no_criterion(tmp_path: Path) -> None:
    run = make_run(POINTS, INTERVALS)
    air = all_classes(run)
    for row in air.rows:
        row["technology"] = "plc"
    verdict = judged(tmp_path / "run", air)
    assert not ids(verdict) & MESH
    assert in_json(verdict)["delivery"]["plc"]["c4_reads"]["share"] == 1.0


def test_a_class_without_messages_is_left_out_and_a_mesh_without_reads_fails(tmp_path: Path) -> None:
    air = Air()
    air.frame(0, DeliveryClass.ALARM, 60.0)
    verdict = judged(tmp_path / "run", air)
    assert ids(verdict) & MESH == {"network.c1_alarms", "network.c4_reads"}
    assert failed(verdict) == {"network.c4_reads"}


def test_gasps_are_told_by_the_size_of_their_outage(tmp_path: Path) -> None:
    run = make_run(POINTS, INTERVALS, darks=(Dark(0, 12, 2, 4), Dark(0, 1, 8, 10)))
    air = reads_of(run)
    for number in range(12):
        arrives = None if number % 3 == 0 else 4.0
        air.frame(number, DeliveryClass.GASP, 1800 + 45, arrives, about=number, lit=False)
    air.frame(0, DeliveryClass.GASP, 1800 + 46, None, about=102, lit=False, cause=Cause.RADIO, attempts=0)
    air.frame(0, DeliveryClass.GASP, 7200 + 45, 2.0, about=100, lit=False)
    air.frame(3, DeliveryClass.GASP, 12000, 2.0, about=101, lit=False)
    assert in_json(judged(tmp_path / "run", air, run))["gasp_delivery"] == {
        "mesh": {
            "1": {"outages": 1, "sent": 1, "arrived": 1, "unsent": 0, "share": 1.0},
            "11-100": {"outages": 1, "sent": 12, "arrived": 8, "unsent": 1, "share": 8 / 12},
            "of no outage": {"outages": 0, "sent": 1, "arrived": 1, "unsent": 0, "share": 1.0},
        }
    }


def test_a_gasp_is_of_the_latest_outage_and_may_come_a_little_after_it(tmp_path: Path) -> None:
    run = make_run(POINTS, INTERVALS, darks=(Dark(0, 12, 2, 4), Dark(0, 1, 3, 4), Dark(0, 1, 8, 9)))
    air = reads_of(run)
    air.frame(0, DeliveryClass.GASP, 2700 + 45, about=1, lit=False)
    air.frame(0, DeliveryClass.GASP, 9 * 900 + 60, about=2, lit=False)
    air.frame(0, DeliveryClass.GASP, 9 * 900 + 61, about=3, lit=False)
    told = in_json(judged(tmp_path / "run", air, run))["gasp_delivery"]["mesh"]
    assert {size: (row["outages"], row["sent"]) for size, row in told.items()} == {"1": (2, 2), "of no outage": (0, 1)}


@given(customers=st.integers(1, 10_000))
def test_every_outage_has_one_size(customers: int) -> None:
    expected = "1" if customers == 1 else "2-10" if customers <= 10 else "11-100" if customers <= 100 else ">100"
    assert size_of(customers) == expected


def test_what_each_carried(tmp_path: Path) -> None:
    run = make_run(6, 4)
    air = reads_of(run)
    air.read(1, 0, 950.0, None, cause=Cause.JAMMED, attempts=9)
    air.read(1, 0, 951.0, None, cause=Cause.COLLECTOR, attempts=0)
    air.read(2, 0, 950.0, 40.0, cause=Cause.COLLISION)
    air.read(0, 0, 950.0, None, cause=Cause.JAMMED)
    run_dir = air.write(run.write(tmp_path / "run"))
    verdict = judge_run(run_dir, run.context())
    document = json.loads((run_dir / "verdict.json").read_text())["network"]
    mesh = document["technologies"]["mesh"]
    assert (mesh["meters"], mesh["frames"]) == (6, 28)
    assert (mesh["lost"], mesh["unsent"], mesh["delayed"]) == ({"jammed": 2}, {"collector": 1}, {"collision": 1})
    assert mesh["hops"] == {"1": 2, "2": 2, "3": 1, "4": 1}
    assert mesh["bytes_per_meter_and_day"] == pytest.approx(2800 / 6 * 86_400 / 3601)
    worst = document["worst"]
    assert [(each["via"], each["frames"], each["lost"], each["unsent"], each["failed_share"]) for each in worst] == [
        ("collector-1", 10, 1, 1, 0.2),
        ("collector-0", 9, 1, 0, 1 / 9),
    ]
    assert verdict.communications is not None
    by_meter = {row["serial"]: row for row in verdict.communications.deliveries.by_meter.to_pylist()}
    assert (by_meter["AMI00000001"]["lost"], by_meter["AMI00000001"]["hops"]) == (1, 2)
    assert (run_dir / "deliveries_by_meter.parquet").exists()


def test_a_meter_has_the_hops_that_most_of_its_frames_took(tmp_path: Path) -> None:
    run = make_run(6, 4)
    air = reads_of(run)
    air.rows[0]["hops"] = 9
    assert in_json(judged(tmp_path / "run", air, run))["technologies"]["mesh"]["hops"] == {
        "1": 2,
        "2": 2,
        "3": 1,
        "4": 1,
    }


def test_a_collector_of_the_same_name_over_another_medium_is_another(tmp_path: Path) -> None:
    run = make_run(6, 4)
    air = reads_of(run)
    for technology in ("mesh", "plc"):
        air.read(0, 0, 950.0, None, technology=technology)
    worst = in_json(judged(tmp_path / "run", air, run))["worst"]
    assert [(each["via"], each["technology"], each["frames"]) for each in worst] == [
        ("collector-0", "plc", 1),
        ("collector-0", "mesh", 9),
    ]


def test_what_is_under_way_at_the_very_end_is_not_lost(tmp_path: Path) -> None:
    run = make_run(6, 4)
    air = reads_of(run)
    air.read(0, 3, 3600.0 - 30.0, None, cause=Cause.CELL)
    air.read(1, 3, 3600.0 - 90.0, None, cause=Cause.RADIO)
    mesh = in_json(judged(tmp_path / "run", air, run))["technologies"]["mesh"]
    assert (mesh["in_the_air"], mesh["lost"]) == (1, {"radio": 1})


def test_junit_names_the_messages_that_were_late(tmp_path: Path) -> None:
    run = make_run(POINTS, INTERVALS)
    air = all_classes(run)
    air.frame(3, DeliveryClass.ALARM, 61.0, None, about=2000, cause=Cause.COLLISION)
    for number in range(8):
        air.frame(4, DeliveryClass.ALARM, 62.0, 9.0, about=3000 + number, cause=Cause.JAMMED)
    run_dir = air.write(run.write(tmp_path / "run"))
    assert failed(judge_run(run_dir, run.context())) == {"network.c1_alarms"}
    junit = (run_dir / "junit.xml").read_text()
    assert "AMI00000003 via collector-0 sent 2026-01-15T00:01:01Z never arrived: collision" in junit
    assert "AMI00000004 via collector-1 sent 2026-01-15T00:01:02Z arrived after 9 s: jammed" in junit


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("cause", 99, "deliveries.cause|network/0.parquet.cause holds [99]"),
        ("delivery_class", 7, "network/0.parquet.delivery_class holds [7]"),
        ("direction", 2, "network/0.parquet.direction holds [2]"),
        ("technology", "\x1b[2Jmesh", "network/0.parquet.technology holds ['\\x1b[2Jmesh']"),
        ("serial", "STRANGER", "deliveries.serial names meters that the run does not have: STRANGER"),
    ],
)
def test_a_file_that_says_what_it_cannot_is_refused(tmp_path: Path, column: str, value: object, told: str) -> None:
    air = reads_of(make_run(POINTS, INTERVALS))
    air.rows[0][column] = value
    with pytest.raises(TableError) as error:
        judged(tmp_path / "run", air)
    assert any(part in fault for fault in error.value.faults for part in told.split("|"))


def test_numbers_that_no_meter_writes_are_refused_all_at_once(tmp_path: Path) -> None:
    run = make_run(POINTS, INTERVALS)
    run_dir = reads_of(run).write(run.write(tmp_path / "run"))
    file = run_dir / "network" / "0.parquet"
    table = pq.read_table(file)
    for name, value in (("hops", -1), ("attempts", 256), ("bytes", 2**62)):
        values = [value, *table[name].to_pylist()[1:]]
        table = table.set_column(table.column_names.index(name), name, pa.array(values, pa.int64()))
    pq.write_table(table, file)
    with pytest.raises(TableError) as error:
        judge_files(run_dir, run.context())
    assert [fault.partition(" is ")[0] for fault in error.value.faults] == [
        f"network/0.parquet.{name}" for name in ("hops", "attempts", "bytes")
    ]


def test_a_frame_arrives_neither_before_nor_without_being_sent(tmp_path: Path) -> None:
    air = reads_of(make_run(POINTS, INTERVALS))
    air.frame(0, DeliveryClass.ALARM, 60.0, -0.001)
    air.frame(0, DeliveryClass.ALARM, 60.0, attempts=0)
    with pytest.raises(TableError) as error:
        judged(tmp_path / "run", air)
    told = " ".join(error.value.faults)
    assert "arrived_at is before sent_at in 1 rows" in told
    assert "arrived_at is there in 1 rows without attempts" in told


def test_every_broken_file_is_told(tmp_path: Path) -> None:
    run = make_run(POINTS, INTERVALS)
    run_dir = reads_of(run).write(run.write(tmp_path / "run"))
    for shard in range(2):
        (run_dir / "network" / f"{shard}.parquet").write_bytes(b"no parquet")
    with pytest.raises(TableError) as error:
        judge_files(run_dir, run.context())
    assert len(error.value.faults) == 2


def test_the_way_down_and_the_way_up_are_two_messages(tmp_path: Path) -> None:
    air = reads_of(make_run(POINTS, INTERVALS))
    for direction in Direction:
        air.frame(0, DeliveryClass.CONTROL, 60.0, about=1, direction=direction)
    assert in_json(judged(tmp_path / "run", air))["delivery"]["mesh"]["c2_control"]["sent"] == 2


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path, make: Callable[[Path], None]) -> None:
    run = make_run(POINTS, INTERVALS)
    run_dir = reads_of(run).write(run.write(tmp_path / "run"))
    make(run_dir / "network" / "9.parquet")
    with pytest.raises(TableError, match=r"network/9.parquet: .* it is no file"):
        judge_files(run_dir, run.context())


@pytest.mark.parametrize("cause", [Cause.REGISTRATION, Cause.RADIO, Cause.JAMMED])
def test_a_late_read_counts_unless_its_meter_had_not_registered_on_a_power_line(tmp_path: Path, cause: Cause) -> None:
    run = make_run(20, 40)
    late = np.arange(40)
    run.stored["committed_at"][late] += np.timedelta64(1, "D")
    starts = (run.stored["interval_start"][late] - np.datetime64(START_S, "s")).astype("timedelta64[s]").astype(int)
    serials = dict(zip(run.fleet["usage_point"], run.fleet["serial"], strict=True))
    air = Air("plc")
    for row, start_s in zip(late.tolist(), starts.tolist(), strict=True):
        number = int(serials[run.stored["usage_point"][row]].removeprefix("AMI"))
        air.read(number, start_s // STEP_S, start_s + STEP_S, None, cause=cause, attempts=0)
    verdict = judged(tmp_path / "run", air, run)
    rate = next(result for result in verdict.criteria if result.id == "reads.success_rate")
    assert verdict.comparison.reads.late == 40
    if cause is Cause.REGISTRATION:
        assert rate.value == 1.0
        assert rate.passed
        assert in_json(verdict)["late_or_missing_reads"] == {"registration": {"late": 40, "missing": 0}}
    else:
        assert rate.value == pytest.approx(0.95)
        assert not rate.passed
