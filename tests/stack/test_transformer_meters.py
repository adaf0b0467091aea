"""A real lab whose transformers are metered over a wire: a gap becomes estimates, and what nobody meters shows."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
import pytest

from grid.feeder import load_feeder
from lab.run.request import RunResult
from tests.headend.services import Postgres
from tests.stack.labs import failed_criteria, live, scenario_text

pytest_plugins = ["tests.headend.fixtures"]

# The head-end is dead at 01:15 and polls nobody.
EVENTS = """
[[event]]
at = "01:12:00"
kind = "kill"
part = "headend"
down = "5min"
"""
OUTAGE = """
[[event]]
at = "00:20:00"
kind = "outage"
device = "transformer"
duration = "30min"
select = { customers = [50, 200] }
"""
UNMETERED = 40
FLEET = 'profile = "rl-dsp"\ntransformer_meters = "sdm630-ct"'


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> RunResult:
    """Three hours of the village, where some customers have no meter: they take what nobody records."""
    customers = len(load_feeder("schutterwald").usage_points)
    text = scenario_text(meters=customers - UNMETERED, duration="3h", settle="20min", events=EVENTS, fleet=FLEET)
    return live(tmp_path_factory.mktemp("stations"), text, database_url=postgres.url(), keep=True)


def rows(postgres: Postgres, sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(postgres.url()) as connection:
        found = connection.execute(
            "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relname = 'transformer_meter' AND n.nspname LIKE 'amilab%' ORDER BY c.oid DESC LIMIT 1"
        ).fetchone()
        assert found is not None
        connection.execute("SELECT set_config('search_path', quote_ident(%s), false)", [found[0]])
        return connection.execute(sql.encode()).fetchall()


def test_their_gap_is_estimated_and_conserves(lived: RunResult) -> None:
    assert failed_criteria(lived) == set()
    stations = lived.verdict.transformers
    assert stations is not None
    assert (stations.meters, stations.by_vendor) == (14, {"sdm630-ct": 14})
    reads = stations.comparison.reads
    assert (reads.expected, reads.stored, reads.estimated, reads.lost) == (14 * 12, 14 * 10, 14 * 2, 0)
    assert stations.comparison.accuracy.compared > 0
    assert lived.verdict.fleet.by_vendor == {"rl-dsp": 1506 - UNMETERED}


def test_the_head_end_has_them_as_meters_and_no_customers(lived: RunResult, postgres: Postgres) -> None:
    del lived
    assert rows(postgres, "SELECT count(*), min(rated_kva) > 0 FROM transformer_meter") == [(14, True)]
    assert rows(postgres, "SELECT count(*) FROM end_device") == [(1506 - UNMETERED + 14,)]
    assert rows(
        postgres,
        "SELECT count(*) FROM interval_reading r JOIN transformer_meter t USING (meter_id) WHERE r.quality = 1",
    ) == [(14 * 2,)]


def test_what_nobody_meters_shows_at_its_transformer(lived: RunResult, postgres: Postgres) -> None:
    metered = set(pq.read_table(lived.directory / "meters.parquet")["usage_point"].to_pylist())
    truth = pq.read_table(lived.directory / "truth.parquet").to_pandas()
    # Of the hours without a gap: the first and the third.
    hours = truth["interval_start"].dt.hour.isin([0, 2])
    missing = truth[hours & ~truth["usage_point"].astype(str).isin(metered)]
    below = {point.id: f"transformer:{point.transformer}" for point in load_feeder("schutterwald").usage_points}
    unmetered_wh = missing.groupby(missing["usage_point"].astype(str).map(below))["import_wh"].sum().to_dict()

    balance = rows(
        postgres,
        "SELECT transformer, count(*), sum(delivered_wh), sum(lost_wh)"
        " FROM transformer_loss('2026-01-15 00:00Z', '2026-01-15 03:00Z') GROUP BY 1",
    )
    assert {hours for _, hours, _, _ in balance} == {2}
    assert len(balance) == 14
    for transformer, _, delivered_wh, lost_wh in balance:
        # Lines lose up to some per cent; a transformer's meter is within 1.5 % and the customers' are within 1 %.
        otherwise_wh = lost_wh - unmetered_wh.get(transformer, 0.0)
        assert -0.025 * delivered_wh < otherwise_wh < 0.08 * delivered_wh, transformer
    assert sum(unmetered_wh.values()) > 0.015 * sum(delivered for _, _, delivered, _ in balance)


def test_one_with_a_clock_and_a_memory_is_judged_by_what_its_own_clock_showed(tmp_path: Path) -> None:
    """In place of estimates it has its load profile, and in place of silence its events."""
    fleet = 'profile = "rl-dsp"\ntransformer_meters = "rl-dsp-ct"'
    run = live(tmp_path, scenario_text(meters=20, duration="1h", events=OUTAGE, fleet=fleet))
    assert failed_criteria(run) == set()
    stations = run.verdict.transformers
    assert stations is not None
    assert (stations.meters, stations.by_vendor) == (14, {"rl-dsp-ct": 14})
    reads, accuracy = stations.comparison.reads, stations.comparison.accuracy
    assert (reads.expected, reads.stored, reads.estimated) == (14 * 4 - 1,) * 2 + (0,), "one interval was dark"
    assert (accuracy.compared, accuracy.class_violations) == (14 * 4 - 1, 0)

    (file,) = (run.directory / "journal").glob("*-rl-dsp-ct.parquet")
    recorded = pq.read_table(file).to_pandas()
    boundary_s = recorded["interval_start"].map(datetime.timestamp) + recorded["interval_length_s"]
    fast_s = (recorded["window_end_s"] - boundary_s).groupby(recorded["serial"]).first()
    assert fast_s.abs().max() < 1.0
    assert fast_s.min() < -0.05 < 0.05 < fast_s.max()

    (file,) = (run.directory / "journal").glob("*-rl-dsp-ct_events.parquet")
    told = pq.read_table(file).to_pandas()
    assert told["code"].tolist() == ["last_gasp", "power_restore"]
    (outage,) = json.loads((run.directory / "truth_outages.json").read_text())
    assert set(told["usage_point"]) == {f"transformer:{outage['device']}"}
