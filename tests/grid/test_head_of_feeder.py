"""What flows at the head of the feeder: loads and losses, no more and no less, source by source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pyarrow.parquet as pq
import pytest

from grid.demand import Demand
from grid.feeder import Device, Feeder, build_feeder
from grid.head_of_feeder import energies
from grid.simulation import GridSimulation


def test_energy_is_what_holds_between_instants_by_direction() -> None:
    # 4 kW for a third of the first interval, then 2 kW back.
    power = np.array([[4000.0], [-2000.0]])
    imported, exported = energies(np.array([900, 1200]), power, np.array([900, 1800, 2700]))
    assert imported[:, 0] == pytest.approx([4000 / 12, 0.0])
    assert exported[:, 0] == pytest.approx([2000 / 6, 2000 / 4])


def lived(feeder: Feeder, start_s: int, directory: Path) -> Path:
    """Two hours with a transformer out for 20 minutes, from some odd second on; the truth of it."""
    simulation = GridSimulation(feeder, Demand.draw(feeder, seed=3), start_s=start_s)
    north = Device("transformer", "North")
    events = {start_s + 2263: simulation.open, start_s + 3463: simulation.close}
    for now_s in sorted({*range(start_s, start_s + 7201, 900), *events}):
        if now_s in events:
            events[now_s](north)
        simulation.advance(now_s)
    simulation.truth.write(directory, until_s=start_s + 7200)
    return directory


def test_the_head_of_the_feeder_gives_loads_and_losses(hamlet: Feeder, start_s: int, tmp_path: Path) -> None:
    lived(hamlet, start_s, tmp_path)
    network = pq.read_table(tmp_path / "truth_network.parquet").to_pandas()
    assert (network["losses_w"] > 0).all()
    assert network["source_power_w"].to_numpy() == pytest.approx((network["load_w"] + network["losses_w"]).to_numpy())

    sources = pq.read_table(tmp_path / "truth_sources.parquet").to_pandas()
    assert sources.groupby("source", observed=True).size().to_dict() == {"source-0": 8}
    # Inductive loads and transformers on the one hand, the capacitance of cables on the other.
    assert sources["import_varh"].sum() > sources["export_varh"].sum() >= 0
    truth = pq.read_table(tmp_path / "truth.parquet").to_pandas()
    hours = network["time"].diff().shift(-1).dt.total_seconds().fillna(0.0) / 3600
    lost_wh = (network["losses_w"] * hours).groupby(network["time"].dt.floor("15min")).sum()
    used = truth.groupby("interval_start")[["import_wh", "export_wh"]].sum()
    net_wh = sources.set_index("interval_start").pipe(lambda table: table["import_wh"] - table["export_wh"])
    expected = used["import_wh"] - used["export_wh"] + lost_wh.iloc[:-1]
    assert net_wh.to_numpy() == pytest.approx(expected.to_numpy(), abs=1e-3)


def test_what_the_feeder_gives_back_is_export(net: Any, start_s: int, tmp_path: Path) -> None:
    pp.create_sgen(net, 1, p_mw=0.05, name="park")
    lived(build_feeder("hamlet", net), start_s, tmp_path)
    sources = pq.read_table(tmp_path / "truth_sources.parquet").to_pandas()
    assert (sources["export_wh"] > 1000).all()
    undisturbed = sources.iloc[[0, 1, 4, 5, 6, 7]]
    assert not undisturbed["import_wh"].any()


def test_each_source_by_itself_and_those_at_one_bus_share(net: Any, start_s: int, tmp_path: Path) -> None:
    net.ext_grid["name"] = "substation"
    pp.create_ext_grid(net, 0, name="twin")
    other = pp.create_bus(net, 20.0, name="elsewhere")
    pp.create_ext_grid(net, other, name="elsewhere")
    pp.create_load(net, other, p_mw=0.3, name="works")
    lived(build_feeder("hamlet", net), start_s, tmp_path)
    sources = pq.read_table(tmp_path / "truth_sources.parquet").to_pandas()
    imported = sources.pivot_table(index="interval_start", columns="source", values="import_wh", observed=True)
    assert imported["elsewhere"].to_numpy() == pytest.approx([75_000.0] * 8)
    assert imported["substation"].to_numpy() == pytest.approx(imported["twin"].to_numpy())
    network = pq.read_table(tmp_path / "truth_network.parquet").to_pandas()
    assert network["source_power_w"].to_numpy() == pytest.approx((network["load_w"] + network["losses_w"]).to_numpy())


def test_everything_dark_leaves_only_what_hangs_at_the_sources(hamlet: Feeder, start_s: int, tmp_path: Path) -> None:
    simulation = GridSimulation(hamlet, Demand.draw(hamlet, seed=3), start_s=start_s)
    for device in hamlet.devices("transformer"):
        simulation.open(device)
    simulation.advance(start_s)
    simulation.truth.write(tmp_path, until_s=start_s + 900)
    (row,) = pq.read_table(tmp_path / "truth_sources.parquet").to_pylist()
    assert [row[name] for name in ("import_wh", "export_wh", "import_varh", "export_varh")] == [0.0] * 4
