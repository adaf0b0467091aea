"""The tables that a verdict is made from: what each must hold, and how it is read from a run directory.

Rule of this module: bad input is reported whole. Every missing, mistyped or impossible column of every table is listed
in one `TableError`; nothing is guessed, and a timestamp without a time zone is refused rather than taken for UTC.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lab.errors import UserError
from meters.device.curve import REGISTERS as CURVE_FORM
from meters.device.curve_journal import REGISTERS_DIRECTORY

DETECTED_FILE = "detected_outages.parquet"
QUALITIES = ("actual", "estimated", "revised")
ORIGINS = ("reported", "recovered")


class TableError(UserError):
    """The input cannot be judged. `faults` lists everything that is wrong with it."""


class Kind(Enum):
    """What a column holds, and the Arrow type that it is brought to."""

    TEXT = pa.dictionary(pa.int32(), pa.string())
    TIME = pa.timestamp("us", tz="UTC")
    INTEGER = pa.int64()
    NUMBER = pa.float64()
    FLAG = pa.bool_()


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    kind: Kind
    required: bool = True
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Schema:
    """Columns of one table. `one_of`: at least one of these names has to be present."""

    name: str
    columns: tuple[Column, ...]
    one_of: tuple[str, ...] = ()

    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)


def _columns(kind: Kind, names: str, *, required: bool = True, nullable: bool = False) -> tuple[Column, ...]:
    return tuple(Column(name, kind, required, nullable) for name in names.split())


PHASE_ENERGIES = "import_l1_wh import_l2_wh import_l3_wh export_l1_wh export_l2_wh export_l3_wh"
REGISTERS = "import_register_wh export_register_wh"
VOLTAGES = "voltage_l1_v voltage_l2_v voltage_l3_v"

_KINDS = {
    pa.string(): Kind.TEXT,
    pa.int64(): Kind.INTEGER,
    pa.float64(): Kind.NUMBER,
    pa.bool_(): Kind.FLAG,
}

TRUTH = Schema(
    "truth",
    (
        *_columns(Kind.TEXT, "usage_point"),
        *_columns(Kind.TIME, "interval_start"),
        *_columns(Kind.INTEGER, "interval_length_s"),
        *_columns(Kind.NUMBER, "energised_s import_wh export_wh"),
        *_columns(Kind.NUMBER, "voltage_v", nullable=True),
    ),
)
FRAMES = Schema(
    "frames",
    (
        *_columns(Kind.TIME, "time"),
        *_columns(Kind.TEXT, "usage_point"),
        *_columns(Kind.FLAG, "energised"),
        *_columns(Kind.NUMBER, "import_wh export_wh active_power_w"),
    ),
)
FLEET = Schema(
    "fleet",
    (
        *_columns(Kind.TEXT, "serial usage_point vendor_profile protocol"),
        *_columns(Kind.INTEGER, "interval_length_s report_every_s"),
        *_columns(Kind.NUMBER, "accuracy_class_percent register_step_wh"),
    ),
)
JOURNAL = Schema(
    "journal",
    (
        *_columns(Kind.TEXT, "serial usage_point"),
        *_columns(Kind.TIME, "interval_start"),
        *_columns(Kind.INTEGER, "interval_length_s import_wh export_wh"),
        # What a polled meter was not asked for, or does not have, is null.
        *_columns(Kind.INTEGER, PHASE_ENERGIES, nullable=True),
        *_columns(Kind.INTEGER, f"{REGISTERS} active_power_w"),
        *_columns(Kind.NUMBER, VOLTAGES),
        *_columns(Kind.INTEGER, "status", nullable=True),
        *_columns(Kind.NUMBER, "window_start_s window_end_s recorded_at_s"),
    ),
)
STORED = Schema(
    "stored",
    (
        *_columns(Kind.TEXT, "serial usage_point", required=False, nullable=True),
        *_columns(Kind.TIME, "interval_start"),
        *_columns(Kind.INTEGER, "interval_length_s"),
        *_columns(Kind.NUMBER, "import_wh", nullable=True),
        *_columns(Kind.TEXT, "vendor_profile", required=False, nullable=True),
        *_columns(Kind.NUMBER, "export_wh", required=False, nullable=True),
        *_columns(Kind.NUMBER, f"{PHASE_ENERGIES} {REGISTERS}", required=False, nullable=True),
        *_columns(Kind.NUMBER, f"active_power_w {VOLTAGES}", required=False, nullable=True),
        *_columns(Kind.INTEGER, "status revision", required=False, nullable=True),
        *_columns(Kind.TEXT, "quality origin", required=False),
        *_columns(Kind.TIME, "device_time received_at committed_at ingested_at", required=False, nullable=True),
        # When the registers of a polled meter were read at either end, by the head-end's clock.
        *_columns(Kind.TIME, "window_start window_end", required=False, nullable=True),
    ),
    one_of=("usage_point", "serial"),
)

# The part of a journal that says what polled meters showed at any instant.
REGISTER_CURVES = Schema("registers", tuple(Column(field.name, _KINDS[field.type]) for field in CURVE_FORM))

# What a head-end says of outages (lab/verdict/detected.py): one row per outage and customer.
DETECTED = Schema(
    "detected",
    (
        *_columns(Kind.TEXT, "outage usage_point"),
        *_columns(Kind.TEXT, "device", nullable=True),
        *_columns(Kind.TIME, "detected_at dark_from"),
        *_columns(Kind.TIME, "dark_to", nullable=True),
        *_columns(Kind.TIME, "gasp_received_at restore_received_at", required=False, nullable=True),
    ),
)


def _is_number(t: pa.DataType) -> bool:
    return bool(pa.types.is_integer(t) or pa.types.is_floating(t) or pa.types.is_decimal(t))


_FITS = {
    Kind.TEXT: lambda t: pa.types.is_string(t) or pa.types.is_large_string(t) or pa.types.is_string_view(t),
    Kind.TIME: pa.types.is_timestamp,
    # pandas makes floats of integers among which one is missing: whole ones are as good.
    Kind.INTEGER: _is_number,
    Kind.NUMBER: _is_number,
    Kind.FLAG: pa.types.is_boolean,
}
_CALLED = {
    Kind.TEXT: "text",
    Kind.TIME: "a timestamp with time zone",
    Kind.INTEGER: "an integer",
    Kind.NUMBER: "a number",
    Kind.FLAG: "a boolean",
}


@dataclass(frozen=True, slots=True)
class RunTables:
    """The tables of a run, each as its schema says; `detected` where the head-end says anything of outages.

    `registers`: what the journal has of polled meters, empty without any.
    """

    truth: pa.Table
    frames: pa.Table
    fleet: pa.Table
    journal: pa.Table
    stored: pa.Table
    detected: pa.Table | None = None
    registers: pa.Table = field(default_factory=lambda: empty(REGISTER_CURVES))


def empty(schema: Schema) -> pa.Table:
    """The table without rows, every column present."""
    return pa.table({c.name: pa.array([], c.kind.value) for c in schema.columns})


def _conform_column(
    values: pa.ChunkedArray, column: Column, where: str, from_text: bool
) -> tuple[pa.ChunkedArray | None, list[str]]:
    kind, found = column.kind, values.type
    value_type = found.value_type if pa.types.is_dictionary(found) else found
    if pa.types.is_timestamp(value_type) and kind is Kind.TIME and value_type.tz is None:
        return None, [
            f"{where} has no time zone ({value_type}): give instants (timestamptz, or ISO 8601 with an offset); "
            "local or naive time is not guessed"
        ]
    fits = _FITS[kind](value_type) or pa.types.is_null(value_type) or (from_text and _FITS[Kind.TEXT](value_type))
    if not fits:
        return None, [f"{where} is {found}, expected {_CALLED[kind]}"]
    try:
        if pa.types.is_dictionary(found) and (kind is not Kind.TEXT or not pa.types.is_string(value_type)):
            values = values.cast(value_type)
        values = _converted(values, kind)
    except pa.ArrowInvalid as error:
        hint = "; every time needs an offset such as Z or +00:00" if kind is Kind.TIME else ""
        # Arrow goes on with advice for its own callers.
        reason = str(error).partition(". If ")[0]
        return None, [f"{where} cannot be read as {_CALLED[kind]}: {reason}{hint}"]
    faults = []
    if not column.nullable and values.null_count:
        faults.append(f"{where} is null in {values.null_count} of {len(values)} rows")
    if kind is Kind.NUMBER and not column.nullable and (nans := pc.sum(pc.is_nan(values)).as_py() or 0):
        faults.append(f"{where} is NaN in {nans} of {len(values)} rows")
    return values, faults


def _converted(values: pa.ChunkedArray, kind: Kind) -> pa.ChunkedArray:
    """Values that fit, in the kind's own type. Raises ArrowInvalid for a value that cannot be had in it."""
    is_text = _FITS[Kind.TEXT](values.type)
    match kind:
        case Kind.TEXT if not pa.types.is_dictionary(values.type):
            return values.cast(pa.string()).dictionary_encode().cast(kind.value)
        case Kind.TIME if is_text:
            text = pc.utf8_trim_whitespace(values.cast(pa.string()))
            return pc.replace_substring_regex(text, r"([.,]\d{6})\d+", r"\1").cast(kind.value)
        case Kind.TIME if pa.types.is_timestamp(values.type) and values.type.unit == "ns":
            # Cut to the microsecond, which is finer than anything that is judged.
            return values.cast(kind.value, safe=False)
        case Kind.INTEGER if is_text:
            return _whole(pc.utf8_trim_whitespace(values.cast(pa.string())))
        case Kind.NUMBER if is_text:
            return pc.utf8_trim_whitespace(values.cast(pa.string())).cast(kind.value)
        case _:
            return values.cast(kind.value)


def _whole(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Integers, also such as are written 900.0."""
    try:
        return text.cast(pa.int64())
    except pa.ArrowInvalid:
        return text.cast(pa.float64()).cast(pa.int64())


def unread(names: Sequence[str], schema: Schema) -> list[str]:
    """Those of a table's columns that `schema` does not know."""
    return [name for name in names if name not in schema.column_names()]


def _near(name: str, names: Sequence[str]) -> str:
    """What may have been meant."""
    near = [other for other in names if other.strip().lower().replace(" ", "_") == name and other != name]
    return f"; there is {near[0]!r}, but names are in small letters, without blanks" if near else ""


def conform(
    table: pa.Table,
    schema: Schema,
    *,
    label: str | None = None,
    from_text: bool = False,
    beside: Sequence[str] = (),
) -> pa.Table:
    """The known columns of `table`, in the schema's order and types.

    `from_text`: text cells may hold any kind. `beside`: all names that were there to choose from.

    Raises:
        TableError: with every fault of the table.
    """
    label = label or schema.name
    faults = []
    kept: dict[str, pa.ChunkedArray] = {}
    if schema.one_of and not set(schema.one_of) & set(table.column_names):
        near = "".join(filter(None, (_near(name, beside) for name in schema.one_of)))
        faults.append(f"{label} has none of the columns {' or '.join(schema.one_of)}: give at least one{near}")
    for column in schema.columns:
        occurrences = table.column_names.count(column.name)
        if occurrences == 0:
            if column.required:
                near = _near(column.name, beside)
                faults.append(f"{label}.{column.name} is missing, expected {_CALLED[column.kind]}{near}")
            continue
        if occurrences > 1:
            faults.append(f"{label}.{column.name} occurs {occurrences} times")
            continue
        values, found = _conform_column(table[column.name], column, f"{label}.{column.name}", from_text)
        faults += found
        if values is not None:
            kept[column.name] = values
    faults += _value_faults(schema, kept, label)
    if faults:
        raise TableError(faults)
    return pa.table(kept)


def _value_faults(schema: Schema, columns: dict[str, pa.ChunkedArray], label: str) -> list[str]:
    faults = []
    if schema is STORED:
        for name, known in (("quality", QUALITIES), ("origin", ORIGINS)):
            if name in columns:
                present = set(pc.unique(columns[name].cast(pa.string())).to_pylist()) - {None}
                if strange := sorted(present - set(known)):
                    faults.append(f"{label}.{name} holds {strange[:5]}, expected only {', '.join(known)}")
        identity = [columns[name] for name in schema.one_of if name in columns]
        if identity and (nameless := _all_null(identity)):
            faults.append(f"{label} has {nameless} rows without any of {', '.join(schema.one_of)}")
    if schema is FLEET:
        for name in ("serial", "usage_point"):
            if name in columns:
                counts = pc.value_counts(columns[name].cast(pa.string()))
                twice = [str(c["values"]) for c in counts if c["counts"].as_py() > 1]
                if twice:
                    faults.append(
                        f"{label}.{name} is not unique: {', '.join(twice[:5])}{'…' if len(twice) > 5 else ''}"
                    )
        for name, least in (("register_step_wh", 1e-12), ("interval_length_s", 1), ("report_every_s", 0)):
            if name in columns and (wrong := pc.sum(pc.less(columns[name], least)).as_py() or 0):
                faults.append(f"{label}.{name} is out of range in {wrong} rows, expected at least {least:g}")
    return faults


def _all_null(columns: list[pa.ChunkedArray]) -> int:
    null = np.ones(len(columns[0]), dtype=bool)
    for column in columns:
        null &= column.is_null().to_numpy()
    return int(null.sum())


def read_parquet(path: Path, schema: Schema, *, label: str | None = None) -> pa.Table:
    """One parquet file as `schema` says.

    Raises:
        TableError: the file is missing, is not parquet, or does not fit the schema.
    """
    label = label or schema.name
    try:
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
    return pa.concat_tables(_collect(partial(read_parquet, p, JOURNAL, label=f"journal/{p.name}") for p in files))


def read_registers(directory: Path) -> pa.Table:
    """What all shards' journals in `directory` say of polled meters; empty if nothing.

    Raises:
        TableError: with the faults of every shard's file.
    """
    files = sorted((directory / REGISTERS_DIRECTORY).glob("*.parquet"))
    tables = _collect(partial(read_parquet, p, REGISTER_CURVES, label=f"registers/{p.name}") for p in files)
    return pa.concat_tables([empty(REGISTER_CURVES), *tables])


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
    truth, frames, fleet, journal, registers, found, *more = _collect(
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
    return RunTables(truth, frames, fleet, journal, found, next(iter(more), None), registers)


def _collect(readers: Iterable[Callable[[], pa.Table]]) -> list[pa.Table]:
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
