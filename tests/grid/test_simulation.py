"""Frames over simulated time, switching at any second, and the tables of truth."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from grid.demand import Demand
from grid.feeder import Device, Feeder
from grid.simulation import GridSimulation
from grid.world import WorldFrame


@dataclass(frozen=True)
class Steps:
    """1 kW and 0.3 kvar for each, doubled every hour; d feeds in instead. a is on L2 only."""

    connected: NDArray[np.bool_]
    start_s: int

    def at(self, time_s: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        factor = 2.0 ** ((time_s - self.start_s) // 3600)
        return factor * np.array([1000.0, 1000.0, 1000.0, -1000.0]), factor * np.full(4, 300.0)

    def bulk_at(self, time_s: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return np.zeros(0), np.zeros(0)


@pytest.fixture
def simulation(hamlet: Feeder, start_s: int) -> GridSimulation:
    connected = np.ones((4, 3), dtype=bool)
    connected[0] = [False, True, False]
    return GridSimulation(hamlet, Steps(connected, start_s), start_s=start_s)


def run(simulation: GridSimulation, until_s: int) -> list[WorldFrame]:
    frames = []
    while simulation.next_due() <= until_s:
        frame = simulation.advance(simulation.next_due())
        assert frame is not None
        frames.append(frame)
    return frames


NORTH = Device("transformer", "North")


def test_frames_are_due_at_every_step(simulation: GridSimulation, start_s: int) -> None:
    assert simulation.next_due() == start_s
    first = simulation.advance(start_s)
    assert first is not None
    assert (first.sequence, first.time_s, simulation.next_due()) == (0, start_s, start_s + 900)
    assert not first.import_wh.any()
    assert simulation.advance(start_s + 450) is None
    second = simulation.advance(start_s + 900)
    assert second is not None
    assert (second.sequence, second.time_s) == (1, start_s + 900)
    assert second.import_wh[:4].sum(axis=1).tolist() == pytest.approx([250.0, 250.0, 250.0, 0.0])
    assert second.export_wh[:4].sum(axis=1).tolist() == pytest.approx([0.0, 0.0, 0.0, 250.0])


def test_phases(simulation: GridSimulation, start_s: int) -> None:
    frame = simulation.advance(start_s)
    assert frame is not None
    assert frame.active_power_w[0].tolist() == [0.0, 1000.0, 0.0]
    assert frame.reactive_power_var[0].tolist() == [0.0, 300.0, 0.0]
    assert frame.active_power_w[1] == pytest.approx(np.full(3, 1000 / 3))
    assert frame.voltage_v[0, 0] == frame.voltage_v[0, 2] == 0.0
    assert frame.voltage_v[1] == pytest.approx(np.full(3, 230.9), abs=2.0)


def test_time_neither_runs_back_nor_leaps(simulation: GridSimulation, start_s: int) -> None:
    with pytest.raises(ValueError, match="cannot advance"):
        simulation.advance(start_s - 1)
    simulation.advance(start_s)
    with pytest.raises(ValueError, match="next step is due"):
        simulation.advance(start_s + 901)
    simulation.advance(start_s + 900)
    with pytest.raises(ValueError, match="the last was"):
        simulation.advance(start_s + 899)


def test_switching_at_any_second(simulation: GridSimulation, start_s: int) -> None:
    simulation.advance(start_s)
    simulation.open(NORTH)
    dark = simulation.advance(start_s + 137)
    assert dark is not None
    # Of the points at transformers, North's is dark as well.
    assert dark.energised.tolist() == [False, False, False, True, False, True]
    assert not dark.active_power_w[:3].any()
    assert not dark.voltage_v[:3].any()
    assert simulation.advance(start_s + 200) is None
    simulation.close(NORTH)
    lit = simulation.advance(start_s + 237)
    assert lit is not None
    assert lit.energised.all()
    assert simulation.next_due() == start_s + 900
    after = simulation.advance(start_s + 900)
    assert after is not None
    assert after.import_wh[0].tolist() == pytest.approx([0.0, 800 / 3.6, 0.0])
    assert after.export_wh[3].sum() == pytest.approx(250.0)


def test_service_and_section(simulation: GridSimulation, hamlet: Feeder, start_s: int) -> None:
    simulation.advance(start_s)
    simulation.open(Device("service", "UP-c"))
    frame = simulation.advance(start_s)  # a second frame at the same instant replaces the first
    assert frame is not None
    assert (frame.sequence, frame.time_s) == (1, start_s)
    assert frame.energised[:4].tolist() == [True, True, False, True]
    simulation.open(Device("section", hamlet.usage_points[0].section))
    frame = simulation.advance(start_s + 1)
    assert frame is not None
    assert frame.energised[:4].tolist() == [False, False, False, True]
    simulation.close(Device("service", "UP-c"))
    frame = simulation.advance(start_s + 2)
    assert frame is not None
    assert frame.energised[:4].tolist() == [False, False, True, True]


def test_opening_and_closing_between_two_instants_is_nothing(simulation: GridSimulation, start_s: int) -> None:
    simulation.advance(start_s)
    simulation.open(NORTH)
    simulation.close(NORTH)
    assert simulation.advance(start_s + 10) is None
    assert simulation.truth.outages == ()


def test_unknown_devices_are_refused_at_once(simulation: GridSimulation) -> None:
    with pytest.raises(KeyError):
        simulation.open(Device("transformer", "West"))
    with pytest.raises(KeyError):
        simulation.close(Device("service", "UP-x"))


def test_two_simulations_of_one_feeder_do_not_touch_each_other(hamlet: Feeder, start_s: int) -> None:
    connected = np.ones((4, 3), dtype=bool)
    one, other = (GridSimulation(hamlet, Steps(connected, start_s), start_s=start_s) for _ in range(2))
    one.open(NORTH)
    assert not one.advance(start_s).energised.all()  # type: ignore[union-attr]  # a first frame is always due
    assert other.advance(start_s).energised.all()  # type: ignore[union-attr]  # as above


def test_a_step_of_one_hour_keeps_its_demand_through_a_switching(hamlet: Feeder, start_s: int) -> None:
    demand = Demand.draw(hamlet, seed=1)
    simulation = GridSimulation(hamlet, demand, start_s=start_s, step_s=3600)
    first = simulation.advance(start_s)
    simulation.open(Device("transformer", "South"))
    second = simulation.advance(start_s + 1900)
    assert first is not None
    assert second is not None
    assert np.array_equal(first.active_power_w[:3], second.active_power_w[:3])


def test_truth_is_exact_to_the_second(simulation: GridSimulation, start_s: int, tmp_path: Path) -> None:
    simulation.advance(start_s)
    simulation.open(NORTH)
    simulation.advance(start_s + 137)
    simulation.close(NORTH)
    simulation.advance(start_s + 237)
    simulation.open(Device("service", "UP-d"))
    simulation.advance(start_s + 900)
    simulation.advance(start_s + 1800)
    simulation.truth.write(tmp_path, until_s=start_s + 2 * 900 + 450)
    rows = pq.read_table(tmp_path / "truth.parquet").to_pylist()
    assert len(rows) == 2 * 4
    first, second = rows[:4], rows[4:]
    assert {row["interval_start"] for row in first} == {datetime.fromtimestamp(start_s, UTC)}
    assert [row["usage_point"] for row in first] == ["UP-a", "UP-b", "UP-c", "UP-d"]
    assert [row["interval_length_s"] for row in rows] == [900] * 8
    assert [row["energised_s"] for row in first] == [800.0, 800.0, 800.0, 900.0]
    assert [row["energised_s"] for row in second] == [900.0, 900.0, 900.0, 0.0]
    assert [row["import_wh"] for row in first] == pytest.approx([800 / 3.6, 800 / 3.6, 800 / 3.6, 0.0])
    assert [row["export_wh"] for row in first] == pytest.approx([0.0, 0.0, 0.0, 250.0])
    assert first[0]["voltage_v"] == pytest.approx(230.9, abs=2.0)
    assert second[3]["voltage_v"] is None

    network = pq.read_table(tmp_path / "truth_network.parquet").to_pylist()
    assert [row["dark_usage_points"] for row in network] == [0, 3, 0, 1, 1]
    assert all(0.9 < row["min_voltage_pu"] <= row["max_voltage_pu"] < 1.1 for row in network)
    transformers = pq.read_table(tmp_path / "truth_transformers.parquet").to_pylist()
    north = [row for row in transformers if row["transformer"] == "North"]
    assert [row["active_power_w"] > 0 for row in north] == [True, False, True, True, True]
    assert north[1]["loading_percent"] == 0.0

    outages = json.loads((tmp_path / "truth_outages.json").read_text(encoding="utf-8"))
    assert outages[0] == {
        "id": "outage-001",
        "device_kind": "transformer",
        "device": "North",
        "conductor": None,
        "from": datetime.fromtimestamp(start_s + 137, UTC).isoformat(),
        "to": datetime.fromtimestamp(start_s + 237, UTC).isoformat(),
        "usage_points": ["UP-a", "UP-b", "UP-c"],
    }
    assert (outages[1]["device"], outages[1]["to"], outages[1]["usage_points"]) == ("UP-d", None, ["UP-d"])


def test_reactive_energy_counts_in_the_quadrant_of_the_sums(
    simulation: GridSimulation, start_s: int, tmp_path: Path
) -> None:
    run(simulation, start_s + 1800)
    simulation.truth.write(tmp_path, until_s=start_s + 1800)
    rows = pq.read_table(tmp_path / "truth.parquet").to_pylist()
    quadrants = [[row[f"reactive_q{number}_varh"] for number in (1, 2, 3, 4)] for row in rows]
    # A quarter of an hour of 300 var; d feeds active power in, and takes reactive power.
    expected = [[75.0, 0.0, 0.0, 0.0]] * 3 + [[0.0, 75.0, 0.0, 0.0]]
    np.testing.assert_allclose(quadrants, expected * 2, rtol=1e-9)


def test_intervals_lie_on_the_grid_of_the_clock(hamlet: Feeder, start_s: int, tmp_path: Path) -> None:
    demand = Steps(np.ones((4, 3), dtype=bool), start_s + 300)
    simulation = GridSimulation(hamlet, demand, start_s=start_s + 300)
    run(simulation, start_s + 3600)
    simulation.truth.write(tmp_path, interval_lengths_s=1800, until_s=start_s + 5400)
    rows = pq.read_table(tmp_path / "truth.parquet").to_pylist()
    starts = sorted({int(row["interval_start"].timestamp()) for row in rows})
    assert starts == [start_s + 1800, start_s + 3600]
    # Beyond the last frame its power goes on.
    assert [row["import_wh"] for row in rows if row["usage_point"] == "UP-b"] == pytest.approx([500.0, 500.0])


def test_each_usage_point_has_the_intervals_that_its_meter_measures(
    simulation: GridSimulation, start_s: int, tmp_path: Path
) -> None:
    run(simulation, start_s + 3600)
    simulation.truth.write(tmp_path / "alike", interval_lengths_s=900, until_s=start_s + 3600)
    lengths_s = np.array([900, 300, 900, 1800, 900, 1800])
    simulation.truth.write(tmp_path / "mixed", interval_lengths_s=lengths_s, until_s=start_s + 3600)
    alike, mixed = (pq.read_table(tmp_path / name / "truth.parquet").to_pylist() for name in ("alike", "mixed"))
    names = list(dict.fromkeys(row["usage_point"] for row in alike))
    for name, length_s in zip(names, lengths_s[:4], strict=True):
        rows = [row for row in mixed if row["usage_point"] == name]
        assert {row["interval_length_s"] for row in rows} == {length_s}
        assert len(rows) == 3600 // length_s
        for key in ("import_wh", "export_wh", "energised_s"):
            assert sum(row[key] for row in rows) == pytest.approx(
                sum(row[key] for row in alike if row["usage_point"] == name)
            )


def test_truth_tells_the_phases_of_a_single_phase_customer_apart(
    simulation: GridSimulation, start_s: int, tmp_path: Path
) -> None:
    """a is on L2 alone, and takes more than a third of the others' power from it: L2 sags for all of the north."""
    run(simulation, start_s + 900)
    simulation.truth.write(tmp_path, until_s=start_s + 900)
    rows = {row["usage_point"]: row for row in pq.read_table(tmp_path / "truth.parquet").to_pylist()}
    names = ("voltage_l1_v", "voltage_l2_v", "voltage_l3_v")
    on_one, on_three = ([rows[point][name] for name in names] for point in ("UP-a", "UP-b"))
    assert (on_one[0], on_one[2]) == (None, None)
    assert rows["UP-a"]["voltage_v"] == on_one[1]
    assert on_three[1] < on_three[0] - 0.05
    assert on_three[1] < on_three[2] - 0.05
    assert rows["UP-b"]["voltage_v"] == pytest.approx(np.mean(on_three))


def test_a_balanced_flow_hides_which_phase_is_loaded(hamlet: Feeder, start_s: int) -> None:
    connected = np.ones((4, 3), dtype=bool)
    connected[0] = [False, True, False]
    simulation = GridSimulation(hamlet, Steps(connected, start_s), start_s=start_s, flow="balanced")
    frame = simulation.advance(start_s)
    assert frame is not None
    assert frame.voltage_v[1] == pytest.approx(np.full(3, frame.voltage_v[1, 0]), abs=1e-9)
    assert frame.voltage_v[0].tolist() == pytest.approx([0.0, frame.voltage_v[0, 1], 0.0])
    assert frame.active_power_w[0].tolist() == [0.0, 1000.0, 0.0], "whom it serves by one phase, it still does"


def test_nothing_to_write(simulation: GridSimulation, start_s: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no frame"):
        simulation.truth.write(tmp_path, until_s=start_s)


@pytest.fixture(scope="module")
def eventful(schutterwald: Feeder, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[bytes]]:
    """Six hours of the village with a transformer out for 40 minutes; its truth and its frames."""
    return eventful_run(schutterwald, 7, tmp_path_factory.mktemp("truth"))


def eventful_run(feeder: Feeder, seed: int, directory: Path) -> tuple[Path, list[bytes]]:
    start_s = 1_768_435_200
    simulation = GridSimulation(feeder, Demand.draw(feeder, seed=seed), start_s=start_s)
    device = feeder.devices("transformer")[4]
    events = {start_s + 7261: simulation.open, start_s + 9661: simulation.close}
    frames = []
    for now_s in sorted({*range(start_s, start_s + 6 * 3600 + 1, 900), *events}):
        if now_s in events:
            events[now_s](device)
        frame = simulation.advance(now_s)
        assert frame is not None
        frames.append(frame.to_bytes())
    simulation.truth.write(directory, until_s=start_s + 6 * 3600)
    return directory, frames


def test_energy_is_conserved(eventful: tuple[Path, list[bytes]]) -> None:
    directory, _ = eventful
    network = pq.read_table(directory / "truth_network.parquet").to_pandas()
    transformers = pq.read_table(directory / "truth_transformers.parquet").to_pandas()
    truth = pq.read_table(directory / "truth.parquet").to_pandas()
    hours = network["time"].diff().shift(-1).dt.total_seconds().fillna(0.0).to_numpy() / 3600
    sent_wh = (transformers.groupby("time")["active_power_w"].sum().to_numpy() * hours).sum()
    lost_wh = (network["losses_w"].to_numpy() * hours).sum()
    used_wh = truth["import_wh"].sum() - truth["export_wh"].sum()
    assert lost_wh > 0.01 * used_wh
    assert sent_wh == pytest.approx(used_wh + lost_wh, rel=1e-8)


def test_frames_and_intervals_tell_the_same(eventful: tuple[Path, list[bytes]]) -> None:
    directory, frames = eventful
    truth = pq.read_table(directory / "truth.parquet").to_pandas()
    table = pq.read_table(directory / "truth_frames.parquet").to_pandas()
    last = table[table["time"] == table["time"].max()].set_index("usage_point")["import_wh"]
    total = truth.groupby("usage_point", observed=True)["import_wh"].sum()
    np.testing.assert_allclose(total.reindex(last.index), last, rtol=1e-12)
    hours = table.groupby("usage_point", observed=True)["time"].diff(-1).dt.total_seconds().abs().fillna(0.0) / 3600
    net = (table["reactive_power_var"] * hours).groupby(table["usage_point"], observed=True).sum()
    q1, q2, q3, q4 = (truth.groupby("usage_point", observed=True)[f"reactive_q{n}_varh"].sum() for n in (1, 2, 3, 4))
    np.testing.assert_allclose((q1 + q2 - q3 - q4).reindex(net.index), net, rtol=1e-9, atol=1e-6)
    assert len(table) == len(frames) * 1506
    assert (
        truth["energised_s"].sum()
        == 1506 * 6 * 3600
        - 2400 * (truth["energised_s"] < 900).groupby(truth["usage_point"], observed=True).any().sum()
    )


def test_same_seed_bit_for_bit_other_seed_not(
    schutterwald: Feeder, eventful: tuple[Path, list[bytes]], tmp_path: Path
) -> None:
    directory, frames = eventful
    _, again = eventful_run(schutterwald, 7, tmp_path / "same")
    _, other = eventful_run(schutterwald, 8, tmp_path / "other")
    assert again == frames
    assert other != frames
    for name in ("truth", "truth_frames", "truth_transformers", "truth_network", "truth_sources"):
        mine, same, differs = (
            pq.read_table(path / f"{name}.parquet") for path in (directory, tmp_path / "same", tmp_path / "other")
        )
        assert mine.equals(same), name
        assert not mine.equals(differs), name
