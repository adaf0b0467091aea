"""A run made up from arithmetic: a feeder's day in five tables, in which everything agrees until a test breaks it."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from grid.world import by_quadrant
from lab.verdict.conform import conform
from lab.verdict.context import ClockFacts, FeederFacts, Host, IngestFacts, LatencyMs, RunContext
from lab.verdict.tables import FLEET, FRAMES, JOURNAL, REGISTER_CURVES, STORED, TRUTH, RunTables, empty
from lab.verdict.transformers import TRANSFORMER_METERS

START_S = 1_768_435_200  # 2026-01-15T00:00:00Z
STEP_S = 900
QUADRANTS = tuple(f"reactive_q{number}_varh" for number in (1, 2, 3, 4))
CHANNELS = ("import_wh", "export_wh", *(f"{d}_l{p}_wh" for d in ("import", "export") for p in (1, 2, 3)))


@dataclass(frozen=True)
class Dark:
    """Usage points [first, last) without supply in intervals [begin, end)."""

    first: int
    last: int
    begin: int
    end: int


@dataclass
class Run:
    """Columns of the five tables as numpy arrays, free to be broken."""

    points: int
    intervals: int
    truth: dict[str, np.ndarray]
    frames: dict[str, np.ndarray]
    fleet: dict[str, np.ndarray]
    journal: dict[str, np.ndarray]
    stored: dict[str, np.ndarray]
    darks: list[Dark] = field(default_factory=list)
    transformers: dict[str, np.ndarray] = field(default_factory=dict)
    network: dict[str, np.ndarray] = field(default_factory=dict)
    registers: pa.Table = field(default_factory=lambda: empty(REGISTER_CURVES))

    def tables(self) -> RunTables:
        return RunTables(
            conform(arrow(self.truth), TRUTH),
            conform(arrow(self.frames), FRAMES),
            conform(arrow(self.fleet), FLEET),
            conform(arrow(self.journal), JOURNAL),
            conform(arrow(self.stored), STORED),
            registers=conform(self.registers, REGISTER_CURVES),
        )

    def context(self, **changes: object) -> RunContext:
        facts: dict[str, object] = {
            "scenario": "synthetic",
            "seed": 7,
            "host": Host(2, "Example CPU", 23.5, "3.11.7", "PostgreSQL 18.6", None, "mosquitto 2.0.11"),
            "feeder": FeederFacts("schutterwald", 2940, self.points, 14, "three-phase"),
            "clock": ClockFacts(START_S, self.intervals * STEP_S, 48.0),
            "ingest": IngestFacts(150_000, 150_000, 3100.0, 3100.0, LatencyMs(4.1, 11.8, 25.0, 61.0)),
        }
        return RunContext(**{**facts, **changes})  # type: ignore[arg-type]

    def write(self, run_dir: Path) -> Path:
        (run_dir / "journal").mkdir(parents=True)
        pq.write_table(arrow(self.truth), run_dir / "truth.parquet")
        pq.write_table(arrow(self.frames), run_dir / "truth_frames.parquet")
        pq.write_table(arrow(self.fleet), run_dir / "meters.parquet")
        pq.write_table(arrow(self.stored), run_dir / "stored.parquet")
        pq.write_table(arrow(self.transformers), run_dir / "truth_transformers.parquet")
        pq.write_table(arrow(self.network), run_dir / "truth_network.parquet")
        journal = arrow(self.journal)
        half = len(journal) // 2
        pq.write_table(journal.slice(0, half), run_dir / "journal" / "0.parquet")
        pq.write_table(journal.slice(half), run_dir / "journal" / "1.parquet")
        pq.write_table(pa.table({"serial": ["x"]}), run_dir / "journal" / "0_events.parquet")
        spans = [(d.begin * STEP_S, d.end * STEP_S, d.last - d.first) for d in self.darks] + [(600, 640, 4)]
        outages = [
            {
                "id": f"outage-{i:03d}",
                "device_kind": "transformer",
                "device": f"T{i + 3:02d}",
                "from": datetime.fromtimestamp(START_S + begin_s, UTC).isoformat(),
                "to": datetime.fromtimestamp(START_S + end_s, UTC).isoformat(),
                "usage_points": [f"UP{n:05d}" for n in range(customers)],
            }
            for i, (begin_s, end_s, customers) in enumerate(spans)
        ]
        (run_dir / "truth_outages.json").write_text(json.dumps(outages))
        return run_dir

    def drop(self, table: str, rows: np.ndarray | list[int]) -> None:
        columns = getattr(self, table)
        keep = np.ones(len(columns["interval_start"]), dtype=bool)
        keep[rows] = False
        setattr(self, table, {name: values[keep] for name, values in columns.items()})

    def double(self, table: str, rows: np.ndarray | list[int]) -> None:
        columns = getattr(self, table)
        setattr(self, table, {name: np.concatenate([v, v[rows]]) for name, v in columns.items()})


def write_with_transformers(run_dir: Path, customers: Run, own: Run) -> Path:
    """Both in one directory: those of customers, and those of the meters at transformers."""
    customers.write(run_dir)
    pq.write_table(arrow(own.truth), run_dir / "truth_transformer_intervals.parquet")
    pq.write_table(arrow(own.frames), run_dir / "truth_transformer_frames.parquet")
    pq.write_table(arrow(own.fleet), run_dir / TRANSFORMER_METERS)
    pq.write_table(arrow(own.journal), run_dir / "journal" / "2.parquet")
    both = pa.concat_tables([arrow(customers.stored), arrow(own.stored)], promote_options="permissive")
    pq.write_table(both, run_dir / "stored.parquet")
    (run_dir / "truth_outages.json").write_text("[]")
    return run_dir


def arrow(columns: dict[str, np.ndarray]) -> pa.Table:
    """Arrow table; datetime64 columns are UTC."""
    arrays = {}
    for name, values in columns.items():
        if values.dtype.kind == "M":
            arrays[name] = pa.array(values.astype("datetime64[us]")).cast(pa.timestamp("us", tz="UTC"))
        else:
            arrays[name] = pa.array(values.tolist() if values.dtype == object else values)
    return pa.table(arrays)


def make_stations(count: int, intervals: int) -> Run:
    """Meters at transformers, of the same hours as the customers' run, under names of their own."""
    run = make_run(count, intervals, seed=5)
    for table in (run.truth, run.frames, run.fleet, run.journal, run.stored):
        table["usage_point"] = np.array([name.replace("UP0000", "transformer:T") for name in table["usage_point"]])
        if "serial" in table:
            table["serial"] = np.char.replace(table["serial"], "AMI", "TRF")
    return run


def instants(seconds: np.ndarray) -> np.ndarray:
    return (np.asarray(seconds) * 1_000_000).astype("datetime64[us]")


def make_run(points: int = 6, intervals: int = 8, *, darks: tuple[Dark, ...] = (), seed: int = 1) -> Run:
    """Everything recorded, delivered in time and stored once. Rows are ordered by usage point, then interval."""
    rng = np.random.default_rng(seed)
    hours = (np.arange(intervals) * STEP_S / 3600) % 24
    evening = 0.35 + 0.5 * np.exp(-(((hours - 7.5) / 1.6) ** 2)) + 1.1 * np.exp(-(((hours - 19) / 2.4) ** 2))
    load = 420 * rng.gamma(2.2, 0.45, (points, 1)) * evening * rng.uniform(0.6, 1.4, (points, intervals))
    roof = (rng.random((points, 1)) < 0.22) * rng.uniform(1500, 6000, (points, 1))
    power = load - roof * np.clip(np.exp(-(((hours - 12.5) / 2.2) ** 2)) - 0.05, 0, None)
    lit = np.ones((points, intervals), dtype=bool)
    for dark in darks:
        lit[dark.first : dark.last, dark.begin : dark.end] = False
    power = np.where(lit, power, 0.0)
    import_wh = np.clip(power, 0, None) * STEP_S / 3600
    export_wh = np.clip(-power, 0, None) * STEP_S / 3600
    # Every third usage point is capacitive.
    reactive = np.where(lit, 0.3 * np.abs(load), 0.0) * np.where(np.arange(points) % 3 == 2, -1.0, 1.0)[:, np.newaxis]
    quadrants = by_quadrant(power, reactive) * STEP_S / 3600
    voltage = 233 - power / 900 - 2.5 * evening + rng.normal(0, 0.7, (points, 1))
    starts = START_S + np.arange(intervals) * STEP_S
    names = np.array([f"UP{i:05d}" for i in range(points)])
    serials = np.array([f"AMI{i:08d}" for i in range(points)])
    flat_names, flat_starts = np.repeat(names, intervals), np.tile(starts, points)
    count = points * intervals
    truth = {
        "usage_point": flat_names,
        "interval_start": instants(flat_starts),
        "interval_length_s": np.full(count, STEP_S, np.int32),
        "energised_s": np.where(lit, float(STEP_S), 0.0).ravel(),
        "import_wh": import_wh.ravel(),
        "export_wh": export_wh.ravel(),
        "voltage_v": np.where(lit, voltage, np.nan).ravel(),
        **{name: varh.ravel() for name, varh in zip(QUADRANTS, quadrants, strict=True)},
    }
    frame_times = START_S + np.arange(intervals + 1) * STEP_S
    frames = {
        "time": instants(np.repeat(frame_times, points)),
        "usage_point": np.tile(names, intervals + 1),
        "energised": np.hstack([lit, lit[:, -1:]]).T.ravel(),
        "import_wh": np.hstack([np.zeros((points, 1)), import_wh.cumsum(axis=1)]).T.ravel(),
        "export_wh": np.hstack([np.zeros((points, 1)), export_wh.cumsum(axis=1)]).T.ravel(),
        "active_power_w": np.hstack([power, power[:, -1:]]).T.ravel(),
        "reactive_power_var": np.hstack([reactive, reactive[:, -1:]]).T.ravel(),
    }
    fleet = {
        "serial": serials,
        "usage_point": names,
        "vendor_profile": np.full(points, "rl-dsp"),
        "protocol": np.full(points, "mqtt"),
        "interval_length_s": np.full(points, STEP_S, np.int64),
        "report_every_s": np.full(points, STEP_S, np.int64),
        "accuracy_class_percent": np.full(points, 1.0),
        "reactive_class_percent": np.full(points, 2.0),
        "register_step_wh": np.full(points, 1.0),
    }
    recorded = {"import": np.rint(import_wh), "export": np.rint(export_wh)}
    register = {d: 10_000_000 + recorded[d].cumsum(axis=1) for d in recorded}
    journal: dict[str, np.ndarray] = {
        "serial": np.repeat(serials, intervals),
        "usage_point": flat_names,
        "interval_start": instants(flat_starts),
        "interval_length_s": np.full(count, STEP_S, np.int32),
        "import_wh": recorded["import"],
        "export_wh": recorded["export"],
    }
    for direction in ("import", "export"):
        for phase in (1, 2, 3):
            journal[f"{direction}_l{phase}_wh"] = np.rint(recorded[direction] / 3)
    journal |= {f"{d}_register_wh": register[d] for d in ("import", "export")}
    journal["active_power_w"] = np.rint(power)
    journal |= {f"voltage_l{phase}_v": np.round(voltage + phase / 10, 1) for phase in (1, 2, 3)}
    for name, varh in zip(QUADRANTS, quadrants, strict=True):
        journal[name] = np.rint(varh)
        journal[name.replace("_varh", "_register_varh")] = 500_000 + journal[name].cumsum(axis=1)
    for phase in (1, 2, 3):
        journal[f"active_power_l{phase}_w"] = np.rint(power / 3)
        journal[f"reactive_power_l{phase}_var"] = np.rint(reactive / 3)
        journal[f"current_l{phase}_a"] = np.round(np.hypot(power, reactive) / 3 / voltage, 3)
        journal[f"power_factor_l{phase}"] = np.round(power / np.maximum(np.hypot(power, reactive), 1e-9), 3)
    journal["max_demand_import_w"] = np.rint(np.maximum.accumulate(np.clip(power, 0, None), axis=1))
    journal["max_demand_at"] = instants(np.tile(START_S - STEP_S, (points, intervals)))
    journal["status"] = np.zeros(count)
    whole = {n for n in journal if n.endswith(("_wh", "_w", "_var", "_varh"))} | {"status"}
    journal = {n: (v.ravel().astype(np.int64) if n in whole else v.ravel()) for n, v in journal.items()}
    journal["window_start_s"] = flat_starts.astype(float)
    journal["window_end_s"] = flat_starts + float(STEP_S)
    journal["recorded_at_s"] = flat_starts + STEP_S + 0.5
    kept = lit.ravel()
    journal = {n: v[kept] for n, v in journal.items()}
    shared = [n for n in journal if n not in {"window_start_s", "window_end_s", "recorded_at_s", "active_power_w"}]
    ends = flat_starts[kept] + STEP_S
    stored = {n: journal[n].copy() for n in shared}
    stored |= {
        "vendor_profile": np.full(len(ends), "rl-dsp"),
        "quality": np.full(len(ends), "actual", dtype=object),
        "origin": np.full(len(ends), "reported", dtype=object),
        "revision": np.zeros(len(ends), np.int32),
        "device_time": instants(ends),
        "received_at": instants(ends + 1),
        "committed_at": instants(ends + 2),
        "ingested_at": instants(ends + 200_000),
    }
    run = Run(points, intervals, truth, frames, fleet, journal, stored, list(darks))
    group = np.arange(points) * 14 // points
    per_group = np.stack([power[group == g].sum(axis=0) for g in range(14)])
    run.transformers = {
        "time": instants(np.repeat(starts, 14)),
        "transformer": np.tile([f"T{g:02d}" for g in range(14)], intervals),
        "loading_percent": (np.abs(per_group) / 1500).T.ravel(),
        "active_power_w": (per_group * 1.02).T.ravel(),
        "losses_w": (np.abs(per_group) * 0.02).T.ravel(),
    }
    run.network = {
        "time": instants(starts),
        "losses_w": np.abs(power).sum(axis=0) * 0.03,
        "load_w": power.sum(axis=0),
        "min_voltage_pu": np.full(intervals, 0.97),
        "max_voltage_pu": np.full(intervals, 1.02),
        "dark_usage_points": (~lit).sum(axis=0),
    }
    return run
