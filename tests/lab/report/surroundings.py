"""What lies beside the tables that the verdict reads: geography, communication, detected outages, dead letters."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.lab.verdict.synthetic import START_S

TIME = pa.timestamp("us", tz="UTC")
TRANSFORMERS = 14


def instants(offsets_s: Iterable[float | None]) -> pa.Array:
    """Seconds since the run's start."""
    return pa.array([None if s is None else round((START_S + s) * 1e6) for s in offsets_s], pa.int64()).cast(TIME)


def write_geography(run_dir: Path, usage_points: Sequence[str], *, without: int = 0) -> None:
    """Streets of a round town; the last `without` usage points have no position."""
    placed = list(usage_points[: len(usage_points) - without])
    turn = np.arange(len(placed)) * 2.399963
    reach = 0.009 * np.sqrt((np.arange(len(placed)) + 1) / max(len(placed), 1))
    longitude, latitude = 7.88 + 1.5 * reach * np.cos(turn), 48.455 + reach * np.sin(turn)
    group = np.arange(len(placed)) * TRANSFORMERS // max(len(placed), 1)
    stations = {
        f"T{g:02d}": {"position": [7.88 + 0.008 * np.cos(g), 48.455 + 0.005 * np.sin(g)], "rated_kva": 400.0}
        for g in range(TRANSFORMERS)
    }
    document = {
        "schema": 1,
        "feeder": "schutterwald",
        "usage_points": {
            name: {"position": [float(x), float(y)], "transformer": f"T{g:02d}"}
            for name, x, y, g in zip(placed, longitude, latitude, group.tolist(), strict=True)
        },
        "transformers": stations,
        "lines": {
            "low_voltage": [
                [stations[f"T{g:02d}"]["position"], [float(x), float(y)]]
                for x, y, g in zip(longitude, latitude, group.tolist(), strict=True)
            ],
            "medium_voltage": [[stations[f"T{g:02d}"]["position"] for g in range(TRANSFORMERS)]],
        },
    }
    (run_dir / "geography.json").write_text(json.dumps(document))


def write_communication(run_dir: Path, changes: Iterable[tuple[str, float, bool]]) -> None:
    """Changes: usage point, seconds since the start, online."""
    rows = list(changes)
    table = pa.table(
        {
            "serial": [point.replace("UP", "AMI000") for point, _, _ in rows],
            "usage_point": [point for point, _, _ in rows],
            "at": instants(at for _, at, _ in rows),
            "online": [online for _, _, online in rows],
        }
    )
    pq.write_table(table, run_dir / "communication.parquet")


Share = tuple[str, str, float, float, float | None, float | None]
"""Outage, usage point, detected at, dark from, dark to, last gasp received."""


def write_detected(run_dir: Path, shares: Iterable[Share]) -> None:
    rows = list(shares)
    columns = list(zip(*rows, strict=True)) or [()] * 6
    table = pa.table(
        {
            "outage": pa.array(columns[0], pa.string()),
            "usage_point": pa.array(columns[1], pa.string()),
            "device": pa.array(["transformer:T03"] * len(rows), pa.string()),
            "detected_at": instants(columns[2]),
            "dark_from": instants(columns[3]),
            "dark_to": instants(columns[4]),
            "gasp_received_at": instants(columns[5]),
            "restore_received_at": instants(columns[4]),
        }
    )
    pq.write_table(table, run_dir / "detected_outages.parquet")
    network = {"devices": [{"id": "transformer:T03", "parent": None}], "usage_points": []}
    (run_dir / "network.json").write_text(json.dumps(network))


def write_disconnections(run_dir: Path, spans: Iterable[tuple[str, float, float | None]]) -> None:
    """Spans: usage point, from, to, in seconds since the start."""

    def iso(offset_s: float | None) -> str | None:
        return None if offset_s is None else datetime.fromtimestamp(START_S + offset_s, UTC).isoformat()

    rows = [{"usage_point": point, "from": iso(from_s), "to": iso(to_s)} for point, from_s, to_s in spans]
    (run_dir / "truth_disconnections.json").write_text(json.dumps(rows))


def write_dead_letters(run_dir: Path, letters: Iterable[tuple[float, str, str, bytes]]) -> None:
    """Letters: received at, topic, reason, payload."""
    rows = list(letters)
    table = pa.table(
        {
            "received_at": instants(at for at, _, _, _ in rows),
            "topic": [topic for _, topic, _, _ in rows],
            "reason": [reason for _, _, reason, _ in rows],
            "detail": ["as the test has it" for _ in rows],
            "payload_bytes": pa.array([len(payload) for _, _, _, payload in rows], pa.int64()),
            "payload_head": pa.array([payload[:64] for _, _, _, payload in rows], pa.binary()),
        }
    )
    pq.write_table(table, run_dir / "dead_letters.parquet")


def write_events(
    run_dir: Path, recorded: Iterable[tuple[str, int, str]], stored: Iterable[tuple[str, int, str]]
) -> None:
    """Events as the meters recorded them and as the head-end stored them: serial, number, code."""
    for path, events in ((run_dir / "journal" / "0_events.parquet", recorded), (run_dir / "events.parquet", stored)):
        rows = list(events)
        table = pa.table(
            {
                "serial": pa.array([serial for serial, _, _ in rows], pa.string()),
                "sequence": pa.array([number for _, number, _ in rows], pa.int64()),
                "code": pa.array([code for _, _, code in rows], pa.string()),
            }
        )
        pq.write_table(table, path)


def write_latencies(run_dir: Path) -> None:
    upper_ms = 10.0 ** (np.arange(-50, 250) / 100)
    messages = np.round(150_000 * np.exp(-((np.log10(upper_ms) - 0.8) ** 2) / 0.18) / 60).astype(int)
    (run_dir / "latencies.json").write_text(json.dumps({"upper_ms": upper_ms.tolist(), "messages": messages.tolist()}))
