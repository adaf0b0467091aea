"""Detected outages against injected ones: each criterion on outages can fail, for its own reason."""

import json
import math
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.verdict.criteria import outage_values
from lab.verdict.detected import DetectedOutage, Share, detected_from_parquet, detected_outages, export_detected
from lab.verdict.detection import Detection, judge_outages, overlap
from lab.verdict.judge_files import judge_run
from lab.verdict.network_model import Network, read_network
from lab.verdict.outages import InjectedOutage, at_meters
from lab.verdict.tables import TableError
from lab.verdict.verdict import Verdict
from tests.lab.verdict.synthetic import START_S, Dark, make_run

END_S = START_S + 6 * 3600
POINTS = [f"UP{n}" for n in range(100)]
REACH = {"transformer:T": frozenset(POINTS[:40]), "section:S": frozenset(POINTS[:40]), "line:L": frozenset(POINTS[:10])}


def injected(
    start_s: float, duration_s: float, points: list[str], *, device: str = "T", kind: str = "transformer"
) -> InjectedOutage:
    end_s = START_S + start_s + duration_s
    return InjectedOutage(START_S + start_s, end_s, duration_s, frozenset(points), device, kind)


def detected(
    start_s: float,
    duration_s: float | None,
    points: list[str],
    *,
    device: str | None = "transformer:T",
    name: str = "1",
    after_s: float = 60.0,
) -> DetectedOutage:
    from_s = START_S + start_s
    to_s = None if duration_s is None else from_s + duration_s
    shares = tuple(Share(point, from_s, to_s, from_s + 50) for point in points)
    return DetectedOutage(name, device, from_s + after_s, shares, END_S)


def judged(truth: list[InjectedOutage], found: list[DetectedOutage]) -> Detection:
    return judge_outages(truth, found, REACH, customers=len(POINTS), start_s=START_S, end_s=END_S)


def failures(detection: Detection) -> set[str]:
    wanted = {"outages.false": 0.0}
    return {
        name.removeprefix("outages.")
        for name, value in outage_values(detection).items()
        if (value > 1 if name.endswith("_pct") else value != wanted.get(name, 1.0))
    }


TRUTH = [injected(3600, 7200, POINTS[:40]), injected(16_000, 40, POINTS[50:90])]


def test_all_found() -> None:
    found = [detected(3599, 7200, POINTS[:40]), detected(16_000, 40, POINTS[50:90], name="2")]
    detection = judged(TRUTH, found)
    assert failures(detection) == set()
    assert detection.precision == 1.0
    assert detection.detect_percentile_s(50) == 59.0
    assert detection.true_indices.saidi_min == pytest.approx(40 * 120 / 100)
    assert (detection.true_indices.saifi, detection.true_indices.maifi) == (0.4, 0.4)
    assert detection.true_indices.caidi_min == pytest.approx(120)


@pytest.mark.parametrize(
    ("found", "failing"),
    [
        ([], {"recall", "momentary_recorded", "saidi_error_pct"}),
        ([detected(3600, 7200, POINTS[:40])], {"momentary_recorded"}),
        # Devices in series are one class; another class is wrong, and so is none at all.
        ([detected(3600, 7200, POINTS[:40], device="section:S")], {"momentary_recorded"}),
        ([detected(3600, 7200, POINTS[:40], device="line:L")], {"momentary_recorded", "localised"}),
        ([detected(3600, 7200, POINTS[:40], device=None)], {"momentary_recorded", "localised"}),
        ([detected(3600, 7200, POINTS[:40], device="line:nowhere")], {"momentary_recorded", "localised"}),
        ([detected(3600, 7200, POINTS[:39])], {"momentary_recorded", "saidi_error_pct"}),
        # Half of it is not it.
        ([detected(3600, 3000, POINTS[:40])], {"recall", "false", "momentary_recorded", "saidi_error_pct"}),
        # A momentary one reported as an outage of ten minutes.
        (
            [detected(3600, 7200, POINTS[:40]), detected(16_000, 600, POINTS[50:90], name="2")],
            {"false", "momentary_recorded", "saidi_error_pct"},
        ),
        # It still lasts, says the head-end.
        ([detected(3600, None, POINTS[:40])], {"recall", "false", "momentary_recorded", "saidi_error_pct"}),
    ],
)
def test_each_way_to_fail(found: list[DetectedOutage], failing: set[str]) -> None:
    assert failures(judged(TRUTH, found)) == failing


def test_an_outage_told_twice_is_false_once() -> None:
    halves = [detected(3600, 7200, POINTS[:20], name="1"), detected(3600, 7200, POINTS[20:40], name="2")]
    detection = judged(TRUTH[:1], halves)
    assert (len(detection.matches), len(detection.false)) == (1, 1)


def test_nothing_injected_and_nothing_detected() -> None:
    detection = judged([], [])
    assert failures(detection) == set()
    assert math.isnan(detection.detect_percentile_s(95))


def test_nothing_injected_but_something_detected() -> None:
    detection = judged([], [detected(3600, 1000, POINTS[:3])])
    assert failures(detection) == {"false", "saidi_error_pct"}
    assert detection.saidi_error_pct == math.inf


def test_five_minutes_are_momentary_and_a_second_more_is_not() -> None:
    at_limit = judged([injected(0, 300, POINTS[:40])], [detected(0, 300, POINTS[:40])])
    assert (len(at_limit.momentary_matches), len(at_limit.injected)) == (1, 0)
    beyond = judged([injected(0, 301, POINTS[:40])], [detected(0, 301, POINTS[:40])])
    assert (len(beyond.matches), len(beyond.momentary_injected)) == (1, 0)


def test_a_momentary_of_a_second_is_found_by_clocks_that_are_one_off() -> None:
    assert not failures(judged([injected(50, 1, POINTS[:5])], [detected(49, 1, POINTS[:5])]))


def test_nested_outages_are_one_interruption_to_the_customer() -> None:
    truth = [
        injected(0, 200, POINTS[:40]),
        injected(200, 200, POINTS[:1], device=POINTS[0], kind="service"),
    ]
    detection = judged(truth, [])
    assert detection.true_indices.saifi == pytest.approx(0.01), "200 s and 200 s without a break are sustained"
    assert detection.true_indices.maifi == pytest.approx(0.39)


def test_what_no_meter_could_see_is_not_asked_for() -> None:
    (seen,) = at_meters([injected(0, 900, POINTS[:4]), injected(0, 900, POINTS[4:8])], POINTS[3:5][:1])
    assert seen.usage_points == {POINTS[3]}


spans = st.dictionaries(
    st.sampled_from(POINTS[:6]),
    st.tuples(st.integers(0, 5000), st.integers(1, 5000)).map(lambda s: (float(s[0]), float(s[0] + s[1]))),
    min_size=1,
)


@given(spans, spans)
def test_overlap_is_a_share(one: dict[str, tuple[float, float]], other: dict[str, tuple[float, float]]) -> None:
    value = overlap(one, other)
    assert 0.0 <= value <= 1.0
    assert value == overlap(other, one)
    assert overlap(one, one) == 1.0


def rows(found: list[DetectedOutage]) -> pa.Table:
    def instant(time_s: float | None) -> datetime | None:
        return None if time_s is None else datetime.fromtimestamp(time_s, UTC)

    return pa.Table.from_pylist(
        [
            {
                "outage": outage.name,
                "usage_point": share.usage_point,
                "device": outage.device,
                "detected_at": instant(outage.detected_s),
                "dark_from": instant(share.from_s),
                "dark_to": instant(share.to_s),
            }
            for outage in found
            for share in outage.shares
        ]
    )


def judged_run(tmp_path: Path, found: list[DetectedOutage]) -> tuple[Verdict, Path]:
    """A run with one sustained outage of 12 customers, 01:00 to 03:00, and one momentary one of 4."""
    run = make_run(20, 24, darks=(Dark(0, 12, 4, 12),))
    run_dir = run.write(tmp_path / "run")
    pq.write_table(rows(found), run_dir / "detected_outages.parquet")
    document = {
        "devices": [{"id": "transformer:T03", "parent": None}, {"id": "transformer:T04", "parent": "transformer:T03"}],
        "usage_points": [{"id": f"UP{n:05d}", "device": f"transformer:T0{4 if n < 4 else 3}"} for n in range(12)],
    }
    (run_dir / "network.json").write_text(json.dumps(document))
    return judge_run(run_dir, run.context()), run_dir


LONG = detected(3600, 7200, [f"UP{n:05d}" for n in range(12)], device="transformer:T03")
SHORT = detected(600, 40, [f"UP{n:05d}" for n in range(4)], device="transformer:T04", name="2")


def test_a_run_with_its_outages_found(tmp_path: Path) -> None:
    verdict, run_dir = judged_run(tmp_path, [LONG, SHORT])
    assert verdict.passed
    block = json.loads((run_dir / "verdict.json").read_text())["outages"]
    assert block == {
        "injected": 1,
        "detected": 1,
        "false": 0,
        "recall": 1.0,
        "precision": 1.0,
        "localised": 1.0,
        "momentary_injected": 1,
        "momentary_recorded": 1,
        "detect_s": {"p50": 60.0, "p95": 60.0},
        "saidi_error_pct": 0.0,
    }


def test_junit_says_which_outages(tmp_path: Path) -> None:
    stranger = detected(9000, 900, ["UP00015"], device="transformer:T09", name="3")
    verdict, run_dir = judged_run(tmp_path, [stranger])
    assert not verdict.passed
    cases = {case.get("name"): case.findtext("failure") for case in ET.parse(run_dir / "junit.xml").iter("testcase")}
    assert "missed transformer:T03 2026-01-15T01:00:00Z for 7200 s, 12 customers" in str(cases["outages.recall"])
    assert "never was transformer:T09" in str(cases["outages.false"])
    assert "not recorded transformer:T04" in str(cases["outages.momentary_recorded"])
    assert "instead of" in str(cases["outages.saidi_error_pct"])
    assert cases["outages.localised"] is None


def test_a_head_end_that_says_nothing_of_outages_is_not_judged_on_them(tmp_path: Path) -> None:
    run = make_run(20, 24, darks=(Dark(0, 12, 4, 12),))
    run_dir = run.write(tmp_path / "run")
    verdict = judge_run(run_dir, run.context())
    assert verdict.passed
    assert not [result for result in verdict.criteria if result.id.startswith("outages.")]
    block = json.loads((run_dir / "verdict.json").read_text())["outages"]
    assert (block["injected"], block["detected"], block["recall"]) == (1, None, None)


def test_faults_of_the_files_are_all_listed(tmp_path: Path) -> None:
    run = make_run(4, 8)
    run_dir = run.write(tmp_path / "run")
    naive = datetime(2026, 1, 15, tzinfo=UTC).replace(tzinfo=None)
    pq.write_table(pa.table({"outage": ["1"], "dark_from": [naive]}), run_dir / "detected_outages.parquet")
    with pytest.raises(TableError) as caught:
        judge_run(run_dir, run.context())
    text = "\n".join(caught.value.faults)
    for said in (
        "detected.usage_point is missing",
        "detected.dark_from has no time zone",
        "network.json does not exist",
    ):
        assert said in text


def test_a_network_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "network.json").write_text('{"devices": [{"id": 1}]}')
    with pytest.raises(TableError) as caught:
        read_network(tmp_path / "network.json")
    assert len(caught.value.faults) == 3


def test_reach_is_that_of_the_metered() -> None:
    network = Network({"T": None, "L": "T", "M": "T"}, {"a": "L", "b": "M", "c": "T"})
    assert network.reach(["a", "c", "unknown"]) == {"T": {"a", "c"}, "L": {"a"}}


def test_from_a_database(tmp_path: Path, postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute(
            "CREATE TABLE detected_outage AS SELECT 7 AS id, '7' AS outage, 'UP1' AS usage_point, NULL::text AS device,"
            " now() AS detected_at, now() AS dark_from, NULL::timestamptz AS dark_to"
        )
    assert export_detected(postgres_url, tmp_path / "found.parquet") == 1
    assert detected_from_parquet(tmp_path / "found.parquet")["usage_point"].to_pylist() == ["UP1"]
    assert export_detected(postgres_url, tmp_path / "none.parquet", query="SELECT * FROM detected_outage LIMIT 0") == 0
    assert len(detected_from_parquet(tmp_path / "none.parquet")) == 0
    with pytest.raises(TableError, match="does not exist"):
        export_detected(postgres_url, tmp_path / "x.parquet", query="SELECT * FROM nowhere")


def test_a_fault_of_one_phase_is_localised_by_whom_it_concerns_in_that_phase() -> None:
    """The line and the section concern the same customers of L2: no meter can tell them apart. Of L1 they do not."""
    phases = {point: frozenset({"L1"}) for point in POINTS} | {point: frozenset({"L2"}) for point in POINTS[:3]}
    phases |= {point: frozenset({"L1", "L2", "L3"}) for point in POINTS[3:10]}

    def localised(conductor: str, dark: list[str]) -> float:
        truth = replace(injected(0, 1800, dark, device="S", kind="section"), conductor=conductor)
        found = [detected(0, 1800, dark, device="line:L")]
        return judge_outages(
            [truth], found, REACH, customers=100, start_s=START_S, end_s=END_S, phases=phases
        ).localised

    assert localised("L2", POINTS[:3]) == 1.0
    assert localised("L1", POINTS[10:40]) == 0.0
    assert localised("N", POINTS[:3]) == 0.0


@pytest.mark.parametrize(("said", "right"), [("L1", 1.0), ("L2", 0.0), ("L3", 0.0), (None, 1.0)])
def test_the_right_device_in_the_wrong_phase_is_not_localised(tmp_path: Path, said: str | None, right: float) -> None:
    """As the head-end's table says it, with every phase turned to the next one and the one after."""
    by_phase = [frozenset({"L1"}), frozenset({"L2"}), frozenset({"L3"}), frozenset({"L1", "L2", "L3"})]
    phases = {point: by_phase[number % 4] for number, point in enumerate(POINTS)}
    dark = POINTS[0:40:4]
    truth = replace(injected(0, 1800, dark), conductor="L1")
    table = rows([detected(0, 1800, dark)])
    pq.write_table(table.append_column("phase", pa.array([said] * len(table), pa.string())), tmp_path / "found.parquet")
    found = detected_outages(detected_from_parquet(tmp_path / "found.parquet"), run_end_s=END_S)
    detection = judge_outages([truth], found, REACH, customers=len(POINTS), start_s=START_S, end_s=END_S, phases=phases)
    assert (detection.recall, detection.localised) == (1.0, right)
    assert failures(detection) == (set() if right else {"localised"})


@pytest.mark.parametrize(("phases", "right"), [(["L1", "L2", "L3"], 1.0), (["L1"], 0.0)])
def test_a_polled_meter_that_lives_on_tells_of_no_lost_phase(tmp_path: Path, phases: list[str], right: float) -> None:
    """It is all that the section has beyond the line. With one phase it goes dark itself, and its poll is missed."""
    devices = [{"id": "section:S", "parent": None}, {"id": "line:L", "parent": "section:S"}]
    points = [{"id": POINTS[0], "device": "section:S", "phases": phases}]
    points += [{"id": point, "device": "line:L", "phases": ["L1"]} for point in POINTS[1:4]]
    (tmp_path / "network.json").write_text(json.dumps({"devices": devices, "usage_points": points}))
    network = read_network(tmp_path / "network.json")
    dark = POINTS[0 if phases == ["L1"] else 1 : 4]
    truth = replace(injected(0, 1800, dark, device="S", kind="section"), conductor="L1")
    detection = judge_outages(
        [truth],
        [detected(0, 1800, POINTS[1:4], device="line:L")],
        network.reach(POINTS[:4]),
        customers=4,
        start_s=START_S,
        end_s=END_S,
        phases=network.phases_told([POINTS[0]]),
    )
    assert detection.localised == right
