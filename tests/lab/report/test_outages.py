"""The section on outages: what was, what the head-end made of it, and on which evidence."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lab.report import write_report
from lab.verdict.judge_files import judge_run
from tests.lab.verdict.synthetic import START_S, Dark, make_run


class Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def at(offset_s: float | None) -> datetime | None:
    return None if offset_s is None else datetime.fromtimestamp(START_S + offset_s, UTC)


def row(
    outage: str, point: int, device: str | None, from_s: float, to_s: float | None, *, heard: bool = True
) -> dict[str, object]:
    return {
        "outage": outage,
        "usage_point": f"UP{point:05d}",
        "device": device,
        "detected_at": at(from_s + 66),
        "dark_from": at(from_s),
        "dark_to": at(to_s),
        "gasp_received_at": at(from_s + 50) if heard else None,
        "restore_received_at": at(to_s + 30) if heard and to_s is not None else None,
    }


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Truth: 12 customers dark from 01:00 to 03:00, 4 for 40 s. It finds the first, and one that never was."""
    run = make_run(20, 24, darks=(Dark(0, 12, 4, 12),))
    run_dir = run.write(tmp_path_factory.mktemp("report") / "run")
    rows = [row("1", n, "transformer:<b>T03", 3600, 10_800, heard=n > 0) for n in range(12)]
    rows.append(row("2", 15, None, 14_000, None))
    pq.write_table(pa.Table.from_pylist(rows), run_dir / "detected_outages.parquet")
    network = {
        "devices": [{"id": "transformer:T03", "parent": None}],
        "usage_points": [{"id": f"UP{n:05d}", "device": "transformer:T03"} for n in range(12)],
    }
    (run_dir / "network.json").write_text(json.dumps(network))
    return write_report(run_dir, judge_run(run_dir, run.context()), ()).read_text()


def words(html: str) -> str:
    parser = Text()
    parser.feed(html)
    return re.sub(r"\s+", " ", " ".join(parser.words))


@pytest.fixture(scope="module")
def section(page: str) -> str:
    return words(page[page.index('id="h-outages"') : page.index("<footer>")])


def test_the_scorecard_says_what_was_found_and_where_to_look(page: str) -> None:
    top = page[page.index("<header") : page.index('id="h-criteria"')]
    assert "outages found 1 of 1 0 at the right device, 1 false" in words(top)
    assert '<a href="#h-outages">Which outages</a>' in top
    assert "Which reads" not in top


def test_both_sides_of_an_outage(section: str) -> None:
    assert "truth 2026-01-15 01:00:00 2026-01-15 03:00:00 2 h 12 transformer T03" in section
    assert "head-end 2026-01-15 01:00:00 2026-01-15 03:00:00 2 h 12 transformer <b>T03" in section
    assert (
        "found after 66 s, 100 % overlap, another device; evidence: 11 last gasps, 11 restores, 1 inferred" in section
    )


def test_the_evidence_by_meter(section: str) -> None:
    said = "UP00001 2026-01-15 01:00:00 2026-01-15 03:00:00 2026-01-15 01:00:50 2026-01-15 03:00:30"
    assert said in section
    assert "UP00000 2026-01-15 01:00:00 2026-01-15 03:00:00 – –" in section


def test_what_was_missed_and_what_never_was(section: str) -> None:
    assert "✗ wrong momentary truth 2026-01-15 00:10:00 2026-01-15 00:10:40 40 s 4 transformer T04" in section
    assert "not recorded as momentary" in section
    assert "no device never was; evidence: 1 last gasp" in section


def test_one_that_found_too_few_says_of_which_outage(tmp_path: Path) -> None:
    run = make_run(20, 24, darks=(Dark(0, 12, 4, 12),))
    run_dir = run.write(tmp_path / "run")
    rows = [row("1", n, None, 3600, 10_800) for n in range(3)]
    pq.write_table(pa.Table.from_pylist(rows), run_dir / "detected_outages.parquet")
    (run_dir / "network.json").write_text('{"devices": [], "usage_points": []}')
    text = words(write_report(run_dir, judge_run(run_dir, run.context()), ()).read_text())
    assert "25 % overlap with transformer T03: less than half, so it counts as one that never was" in text


def test_the_indices(section: str) -> None:
    assert "SAIDI minutes without supply per customer 72.0000" in section
    assert "MAIFI momentary interruptions per customer 0.2000 0.0000" in section


def test_another_device_of_the_same_class_is_called_equivalent(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A cable in series with the transformer: whoever names it is as right, and the report says why."""
    run = make_run(20, 24, darks=(Dark(0, 12, 4, 12),))
    run_dir = run.write(tmp_path_factory.mktemp("equivalent") / "run")
    rows = [row("1", n, "line:L<7>", 3600, 10_800) for n in range(12)]
    pq.write_table(pa.Table.from_pylist(rows), run_dir / "detected_outages.parquet")
    network = {
        "devices": [{"id": "line:L<7>", "parent": None}, {"id": "transformer:T03", "parent": "line:L<7>"}],
        "usage_points": [{"id": f"UP{n:05d}", "device": "transformer:T03"} for n in range(12)],
    }
    (run_dir / "network.json").write_text(json.dumps(network))
    verdict = judge_run(run_dir, run.context())
    assert verdict.detection is not None
    assert verdict.detection.localised == 1.0
    text = words(write_report(run_dir, verdict, ()).read_text())
    assert "2 h 12 line L<7> equivalent to transformer T03: either darkens the same 12 meters" in text
    assert "another device" not in text


def test_a_single_conductor_is_named_on_both_sides(tmp_path: Path) -> None:
    run = make_run(20, 24, darks=(Dark(0, 3, 4, 12),))
    run_dir = run.write(tmp_path / "run")
    (broken, *_) = json.loads((run_dir / "truth_outages.json").read_text())
    (run_dir / "truth_outages.json").write_text(json.dumps([broken | {"conductor": "L2"}]))
    rows = [row("1", n, "line:L7", 3600, 10_800) | {"phase": "L2"} for n in range(3)]
    pq.write_table(pa.Table.from_pylist(rows), run_dir / "detected_outages.parquet")
    points = [{"id": f"UP{n:05d}", "device": "transformer:T03", "phases": ["L2" if n < 3 else "L1"]} for n in range(12)]
    devices = [{"id": "line:L7", "parent": None}, {"id": "transformer:T03", "parent": "line:L7"}]
    (run_dir / "network.json").write_text(json.dumps({"devices": devices, "usage_points": points}))
    text = words(write_report(run_dir, judge_run(run_dir, run.context()), ()).read_text())
    assert "3 transformer T03, L2 alone" in text
    assert "3 line L7, L2 alone equivalent to transformer T03: no meter that tells of this conductor" in text
