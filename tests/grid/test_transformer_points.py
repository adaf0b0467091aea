"""Points at transformers: behind the usage points in every frame, and in no count of customers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pyarrow.parquet as pq
import pytest

from grid.demand import Demand
from grid.feeder import Device, Feeder, build_feeder
from grid.simulation import GridSimulation
from grid.transformer_points import TransformerPoints

NORTH = Device("transformer", "North")


@pytest.fixture
def simulation(hamlet: Feeder, start_s: int) -> GridSimulation:
    return GridSimulation(hamlet, Demand.draw(hamlet, seed=3), start_s=start_s)


def test_each_transformer_has_one_that_the_network_model_names(hamlet: Feeder) -> None:
    points = TransformerPoints.of(hamlet)
    assert [(point.id, point.transformer, point.rated_va) for point in points.points] == [
        ("transformer:North", "North", 250_000.0),
        ("transformer:South", "South", 250_000.0),
    ]
    assert points.points[0].position == (7.5, 48.25)
    assert points.nominal_voltage_v == pytest.approx([400 / np.sqrt(3)] * 2)


def test_what_feeds_no_low_voltage_or_nobody_by_itself_has_none(net: Any) -> None:
    high = pp.create_bus(net, 110.0)
    pp.create_transformer(net, high, 0, "25 MVA 110/20 kV", name="substation")
    net.ext_grid["bus"] = high
    pp.create_transformer(net, 0, 1, "0.25 MVA 20/0.4 kV", name="twin of North")
    points = TransformerPoints.of(build_feeder("hamlet", net))
    assert [point.id for point in points.points] == ["transformer:South"]


def test_a_transformer_delivers_what_its_customers_take_and_its_lines_lose(
    simulation: GridSimulation, start_s: int, tmp_path: Path
) -> None:
    for step in range(5):
        frame = simulation.advance(start_s + step * 900)
        assert frame is not None
        assert len(frame) == 6
        taken_w, at_transformers_w = frame.active_power_w[:4].sum(), frame.active_power_w[4:].sum()
        assert taken_w < at_transformers_w < 1.05 * taken_w
        assert frame.reactive_power_var[4:].any(axis=1).all()
        assert (frame.voltage_v[4:] > 225.0).all()
        assert frame.breaker_closed[4:].all()
    simulation.truth.write(tmp_path, until_s=start_s + 3600)
    network = pq.read_table(tmp_path / "truth_network.parquet").to_pandas()
    transformers = pq.read_table(tmp_path / "truth_transformers.parquet").to_pandas()
    lines_w = network["losses_w"].to_numpy() - transformers.groupby("time")["losses_w"].sum().to_numpy()
    metered = pq.read_table(tmp_path / "truth_transformer_intervals.parquet").to_pandas()
    customers = pq.read_table(tmp_path / "truth.parquet").to_pandas()
    assert metered["usage_point"].unique().tolist() == ["transformer:North", "transformer:South"]
    assert metered["import_wh"].sum() == pytest.approx(customers["import_wh"].sum() + lines_w[:4].sum() / 4, abs=1e-3)
    frames = pq.read_table(tmp_path / "truth_transformer_frames.parquet").to_pandas()
    assert frames.groupby("usage_point", observed=True).size().tolist() == [5, 5]


def test_an_open_transformer_is_dark_at_its_point_and_counts_no_customer(
    simulation: GridSimulation, start_s: int, tmp_path: Path
) -> None:
    simulation.advance(start_s)
    simulation.open(NORTH)
    frame = simulation.advance(start_s + 300)
    assert frame is not None
    assert frame.energised[4:].tolist() == [False, True]
    assert not frame.voltage_v[4].any()
    assert not frame.active_power_w[4].any()
    (outage,) = simulation.truth.outages
    assert outage.usage_points == ("UP-a", "UP-b", "UP-c")
    simulation.advance(start_s + 900)
    simulation.truth.write(tmp_path, until_s=start_s + 900)
    rows = pq.read_table(tmp_path / "truth_transformer_intervals.parquet").to_pylist()
    assert [row["energised_s"] for row in rows] == [300.0, 900.0]
    assert pq.read_table(tmp_path / "truth_network.parquet")["dark_usage_points"].to_pylist() == [0, 3, 3]


def test_a_feeder_without_transformers_has_frames_and_truth_all_the_same(start_s: int, tmp_path: Path) -> None:
    net = pp.create_empty_network()
    bus, end = pp.create_buses(net, 2, 0.4)
    pp.create_ext_grid(net, bus)
    pp.create_line(net, bus, end, 0.1, "NAYY 4x150 SE")
    pp.create_load(net, end, p_mw=0.001, name="a")
    feeder = build_feeder("street", net)
    simulation = GridSimulation(feeder, Demand.draw(feeder, seed=3), start_s=start_s)
    frame = simulation.advance(start_s)
    assert frame is not None
    assert len(frame) == 1
    simulation.truth.write(tmp_path, until_s=start_s + 900)
    assert len(pq.read_table(tmp_path / "truth_transformer_intervals.parquet")) == 0
