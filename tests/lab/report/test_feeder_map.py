"""Where meters are drawn, and what the page's script is given."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from lab.report.feeder_map import draw_map, encode
from lab.report.meters import read_meters
from lab.report.plane import read_plane
from lab.report.states import Change, read_history
from tests.lab.report import surroundings
from tests.lab.verdict.synthetic import START_S, STEP_S, Dark, arrow, make_run

URBAN = 11_542


@given(st.sets(st.integers(0, 400), min_size=1), st.booleans(), st.integers(0, 3))
def test_changes_survive_their_coding(meters: set[int], on: bool, aspect: int) -> None:
    at, code, runs = encode(Change(START_S + 7.0, aspect, on, np.array(sorted(meters))), START_S)
    assert (at, code) == (7.0, 2 * aspect + on)
    decoded: set[int] = set()
    place = 0
    for gap, run in zip(runs[::2], runs[1::2], strict=True):
        decoded |= set(range(place + gap, place + gap + run))
        place += gap + run
    assert decoded == meters


def test_a_city_of_many_changes_stays_small(tmp_path: Path) -> None:
    run_dir = make_run(URBAN, 4, darks=(Dark(100, 400, 1, 3), Dark(5000, 5117, 2, 3))).write(tmp_path / "run")
    rng = np.random.default_rng(5)
    names = pq.read_table(run_dir / "meters.parquet")["usage_point"].to_pylist()
    surroundings.write_geography(run_dir, names)
    returned = rng.integers(200, 500, (5, URBAN))
    changes = [(n, 600.0 * k, False) for k in range(5) for n in names]
    changes += [(n, 600.0 * k + float(returned[k, i]), True) for k in range(5) for i, n in enumerate(names)]
    surroundings.write_communication(run_dir, changes)
    meters = read_meters(run_dir)
    history = read_history(run_dir, meters.usage_points, start_s=START_S, end_s=START_S + 4 * STEP_S)
    plane = read_plane(run_dir, meters)
    assert plane is not None
    drawn = draw_map(plane, meters, history, (), start_s=START_S)
    assert len(json.dumps(drawn.data)) < 2_500_000
    assert len(drawn.svg) < 1_000_000


def test_positions_keep_their_proportions_and_stay_inside(tmp_path: Path) -> None:
    run_dir = make_run(40, 2).write(tmp_path / "run")
    surroundings.write_geography(run_dir, [f"UP{i:05d}" for i in range(40)], without=3)
    plane = read_plane(run_dir, read_meters(run_dir))
    assert plane is not None
    assert plane.placed.sum() == 37
    inside = plane.xy[plane.placed] / 10
    assert (inside >= 0).all()
    assert (inside <= [plane.width, plane.height]).all()
    positions = json.loads((run_dir / "geography.json").read_text())["usage_points"]
    (lon, lat), (other_lon, other_lat) = (positions[f"UP{i:05d}"]["position"] for i in (5, 30))
    metres = np.hypot((lon - other_lon) * np.cos(np.radians(lat)), lat - other_lat) * 111_320
    units = np.hypot(*(inside[5] - inside[30]))
    assert abs(units * plane.scale_m / plane.scale_units - metres) < 0.01 * metres


def test_meters_at_one_place_are_drawn_apart(tmp_path: Path) -> None:
    run = make_run(5, 2)
    run.fleet["longitude"] = np.array([7.88, 7.88, 7.88, 7.89, 7.87])
    run.fleet["latitude"] = np.array([48.45, 48.45, 48.45, 48.46, 48.44])
    run.fleet["transformer"] = np.full(5, "T1")
    plane = read_plane(run.write(tmp_path / "run"), read_meters(tmp_path / "run"))
    assert plane is not None
    assert len({tuple(place) for place in plane.xy.tolist()}) == 5
    assert plane.transformers == ("T1",) * 5


def test_without_positions_there_is_no_map(tmp_path: Path) -> None:
    run_dir = make_run(5, 2).write(tmp_path / "run")
    assert read_plane(run_dir, read_meters(run_dir)) is None


def test_usage_points_without_a_meter_are_only_drawn(tmp_path: Path) -> None:
    run = make_run(10, 2, darks=(Dark(8, 10, 0, 1),))
    run_dir = run.write(tmp_path / "run")
    names = [f"UP{i:05d}" for i in range(10)]
    surroundings.write_geography(run_dir, names)
    pq.write_table(arrow({name: values[:7] for name, values in run.fleet.items()}), run_dir / "meters.parquet")
    meters = read_meters(run_dir)
    plane = read_plane(run_dir, meters)
    assert plane is not None
    assert len(plane.unmetered) == 3
    history = read_history(run_dir, meters.usage_points, start_s=START_S, end_s=START_S + 2 * STEP_S)
    assert history.counts.tolist() == [[7, 0, 0, 0, 0, 0]]
    assert draw_map(plane, meters, history, (), start_s=START_S).unmetered == 3
