"""The tables of a run, from the files of its directory."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lab.verdict.conform import conform
from lab.verdict.tables import (
    DETECTED,
    DETECTED_FILE,
    FLEET,
    FRAMES,
    JOURNAL,
    REGISTER_CURVES,
    STORED,
    TRUTH,
    RunTables,
    Schema,
    TableError,
    empty,
)
from lab.verdict.terminals import at_terminals
from meters.device.curve_journal import REGISTERS_DIRECTORY


def read_parquet(path: Path, schema: Schema, *, label: str | None = None) -> pa.Table:
    """One parquet file as `schema` says.

    Raises:
        TableError: the file is missing, is not parquet, or does not fit the schema.
    """
    label = label or schema.name
    try:
        if path.exists() and not path.is_file():
            # To open a pipe is to wait for whoever writes to it.
            raise TableError([f"{label}: {path} cannot be read as parquet: it is no file"])
        present = set(pq.read_schema(path).names)
        table = pq.read_table(path, columns=[n for n in schema.column_names() if n in present])
    except FileNotFoundError as error:
        raise TableError([f"{label}: {path} does not exist; did the run come to its end?"]) from error
    except (OSError, pa.ArrowException) as error:
        raise TableError([f"{label}: {path} cannot be read as parquet: {error}"]) from error
    return conform(table, schema, label=label)


def read_journal(directory: Path) -> pa.Table:
    """All shards' journals in `directory`, without their event files.

    Raises:
        TableError: with the faults of every shard's file; also if there is no file at all.
    """
    files = sorted(p for p in directory.glob("*.parquet") if not p.stem.endswith("_events"))
    if not files:
        raise TableError([f"journal: no parquet file in {directory}; did the fleet export its memory?"])
    return pa.concat_tables(collected(partial(read_parquet, p, JOURNAL, label=f"journal/{p.name}") for p in files))


def read_registers(directory: Path) -> pa.Table:
    """What all shards' journals in `directory` say of polled meters; empty if nothing.

    Raises:
        TableError: with the faults of every shard's file.
    """
    files = sorted((directory / REGISTERS_DIRECTORY).glob("*.parquet"))
    tables = collected(partial(read_parquet, p, REGISTER_CURVES, label=f"registers/{p.name}") for p in files)
    # Those of an earlier release have fewer columns, and so all of them.
    return pa.concat_tables(tables) if tables else empty(REGISTER_CURVES)


def around_file(stored: Path) -> Path:
    """Beside stored.parquet, where it has no reading of the judged window: those of a day before and after it."""
    return stored.with_name(f"{stored.stem}_around.parquet")


def load_run(run_dir: Path, *, stored: Path | None = None) -> RunTables:
    """The tables from truth.parquet, truth_frames.parquet, meters.parquet, journal/*.parquet, stored.parquet and, if it
    is there, detected_outages.parquet. With `stored` that file instead of the last two.

    Raises:
        TableError: with the faults of all of them.
    """
    detected = run_dir / DETECTED_FILE
    truth, frames, fleet, journal, registers, found, *more = collected(
        (
            lambda: read_parquet(run_dir / "truth.parquet", TRUTH),
            lambda: read_parquet(run_dir / "truth_frames.parquet", FRAMES),
            lambda: read_parquet(run_dir / "meters.parquet", FLEET),
            lambda: read_journal(run_dir / "journal"),
            lambda: read_registers(run_dir / "journal"),
            lambda: read_parquet(stored or run_dir / "stored.parquet", STORED),
            *([lambda: read_parquet(detected, DETECTED)] if stored is None and detected.exists() else []),
        )
    )
    return at_terminals(RunTables(truth, frames, fleet, journal, found, next(iter(more), None), registers))


def collected(readers: Iterable[Callable[[], pa.Table]]) -> list[pa.Table]:
    """What all of them read.

    Raises:
        TableError: with the faults of all of them.
    """
    tables: list[pa.Table] = []
    faults: list[str] = []
    for read in readers:
        try:
            tables.append(read())
        except TableError as error:
            faults += error.faults
    if faults:
        raise TableError(faults)
    return tables
