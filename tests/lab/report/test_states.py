"""What was true of a meter, what the head-end knew, and which of six states follows."""

from pathlib import Path

import pytest

from lab.report.states import APART, History, read_history
from lab.verdict.disconnections import DISCONNECTIONS_FILE
from lab.verdict.tables import TableError
from tests.lab.report import surroundings
from tests.lab.verdict.synthetic import START_S, STEP_S, Dark, make_run

POINTS, INTERVALS = 6, 8
DARK_FROM_S, DARK_TO_S = 2 * STEP_S, 4 * STEP_S


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """UP00001 and UP00002 are dark from interval 2 to 4."""
    return make_run(POINTS, INTERVALS, darks=(Dark(1, 3, 2, 4),)).write(tmp_path / "run")


def history(run_dir: Path) -> History:
    names = [f"UP{i:05d}" for i in range(POINTS)]
    return read_history(run_dir, names, start_s=START_S, end_s=START_S + INTERVALS * STEP_S)


def counts(found: History) -> dict[float, list[int]]:
    return {t - START_S: c for t, c in zip(found.times_s.tolist(), found.counts.tolist(), strict=True)}


def test_darkness_is_the_physics(run_dir: Path) -> None:
    found = history(run_dir)
    assert counts(found) == {0: [6, 0, 0, 0, 0, 0], DARK_FROM_S: [4, 0, 2, 0, 0, 0], DARK_TO_S: [6, 0, 0, 0, 0, 0]}
    assert not found.says_outages
    assert not found.says_communication
    assert found.worst_s() == START_S + DARK_FROM_S


def test_an_outage_is_known_from_its_detection_to_its_recorded_end(run_dir: Path) -> None:
    shares: list[surroundings.Share] = [
        ("1", f"UP{i:05d}", DARK_FROM_S + 66.0, DARK_FROM_S - 1.0, DARK_TO_S - 1.0, None) for i in (1, 2)
    ]
    surroundings.write_detected(run_dir, shares)
    assert counts(history(run_dir)) == {
        0: [6, 0, 0, 0, 0, 0],
        DARK_FROM_S: [4, 0, 2, 0, 0, 0],
        DARK_FROM_S + 66: [4, 2, 0, 0, 0, 0],
        # a meter's clock a second off is no phantom
        DARK_TO_S: [6, 0, 0, 0, 0, 0],
    }


def test_what_is_reported_dark_but_is_not_is_a_phantom(run_dir: Path) -> None:
    shares: list[surroundings.Share] = [("1", "UP00001", DARK_FROM_S + 66.0, DARK_FROM_S, DARK_TO_S + 600.0, None)]
    shares += [("2", "UP00005", 100.0, 90.0, None, None)]
    surroundings.write_detected(run_dir, shares)
    found = counts(history(run_dir))
    assert found[100] == [5, 0, 0, 0, 1, 0]
    assert found[DARK_FROM_S + 66] == [3, 1, 1, 0, 1, 0]
    assert found[DARK_TO_S] == [4, 0, 0, 0, 2, 0]
    assert found[DARK_TO_S + 600] == [5, 0, 0, 0, 1, 0]


def test_unheard_are_those_with_supply_only(run_dir: Path) -> None:
    surroundings.write_communication(
        run_dir,
        [
            ("UP00000", 300.0, False),
            ("UP00000", 400.0, False),
            ("UP00000", 5000.0, True),
            ("UP00001", DARK_FROM_S + 90.0, False),
            ("UP00001", DARK_TO_S + 40.0, True),
            ("UP00004", 7000.0, False),
            ("nobody's", 10.0, False),
        ],
    )
    found = counts(history(run_dir))
    assert found[300] == [5, 0, 0, 1, 0, 0]
    assert found[DARK_FROM_S] == [3, 0, 2, 1, 0, 0]
    assert found[DARK_TO_S] == [4, 0, 0, 2, 0, 0]
    assert found[DARK_TO_S + 40] == [5, 0, 0, 1, 0, 0]
    assert found[7000] == [5, 0, 0, 1, 0, 0]


def test_a_spike_is_not_the_worst_instant(run_dir: Path) -> None:
    names = [f"UP{i:05d}" for i in range(POINTS)]
    surroundings.write_communication(run_dir, [(n, at, on) for n in names for at, on in ((60.0, False), (120.0, True))])
    assert history(run_dir).worst_s() == START_S + DARK_FROM_S


def test_states_at_an_instant_and_the_spans_of_a_meter_agree_with_the_counts(run_dir: Path) -> None:
    found = history(run_dir)
    assert found.states_at(START_S + DARK_FROM_S, POINTS).tolist() == [0, 2, 2, 0, 0, 0]
    assert found.states_at(START_S + DARK_TO_S, POINTS).tolist() == [0] * POINTS
    assert found.spans(1, 0) == [(START_S + DARK_FROM_S, START_S + DARK_TO_S)]
    assert found.spans(0, 0) == []


def test_a_disconnected_customer_is_no_outage_unless_it_is_in_one_besides(run_dir: Path) -> None:
    surroundings.write_disconnections(
        run_dir, [("UP00001", DARK_FROM_S - 300, DARK_TO_S + 300), ("UP00005", DARK_TO_S, None), ("nobody's", 0, None)]
    )
    found = history(run_dir)
    assert counts(found) == {
        0: [6, 0, 0, 0, 0, 0],
        DARK_FROM_S - 300: [5, 0, 0, 0, 0, 1],
        DARK_FROM_S: [4, 0, 2, 0, 0, 0],
        DARK_TO_S: [4, 0, 0, 0, 0, 2],
        DARK_TO_S + 300: [5, 0, 0, 0, 0, 1],
    }
    assert found.worst_s() == START_S + DARK_FROM_S, "nobody has to see to who is disconnected"
    assert found.has_disconnected
    assert found.spans(5, APART) == [(START_S + DARK_TO_S, None)]


def test_a_run_from_before_there_were_relays_has_nobody_disconnected(run_dir: Path) -> None:
    assert not (run_dir / DISCONNECTIONS_FILE).exists()
    assert not history(run_dir).has_disconnected


def test_disconnections_that_cannot_be_read_are_said(run_dir: Path) -> None:
    (run_dir / DISCONNECTIONS_FILE).write_text('[{"usage_point": "UP00001", "from": "today", "to": null}]')
    with pytest.raises(TableError, match="disconnections"):
        history(run_dir)
