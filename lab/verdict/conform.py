"""Tables made what their schema says, or refused with every fault."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lab.verdict.tables import (
    CAUSES,
    DELIVERIES,
    FLEET,
    GASP,
    MOST_OF_FRAMES,
    MOST_RATIO,
    ORIGINS,
    QUALITIES,
    RATIOS,
    REPORTED,
    STORED,
    TECHNOLOGIES,
    Column,
    Kind,
    Schema,
    TableError,
)


def _is_number(t: pa.DataType) -> bool:
    return bool(pa.types.is_integer(t) or pa.types.is_floating(t) or pa.types.is_decimal(t))


_YEAR_1_US, _YEAR_10000_US = -62_135_596_800_000_000, 253_402_300_800_000_000
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
    if kind is Kind.TIME and (beyond := pc.sum(_beyond_calendar(values)).as_py() or 0):
        faults.append(f"{where} is not in the years 1 to 9999 in {beyond} of {len(values)} rows")
    if not column.nullable and values.null_count:
        faults.append(f"{where} is null in {values.null_count} of {len(values)} rows")
    if kind is Kind.NUMBER and not column.nullable and (nans := pc.sum(pc.is_nan(values)).as_py() or 0):
        faults.append(f"{where} is NaN in {nans} of {len(values)} rows")
    return values, faults


def _beyond_calendar(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Where nobody's datetime has the instant; infinities of PostgreSQL come so, too."""
    instants = times.cast(pa.int64())
    return pc.or_(pc.less(instants, _YEAR_1_US), pc.greater_equal(instants, _YEAR_10000_US))


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
        for name in RATIOS:
            if name in columns:
                ratio = columns[name]
                outside = pc.or_(pc.less(ratio, 1.0), pc.greater(ratio, MOST_RATIO))
                if wrong := pc.sum(outside).as_py() or 0:
                    faults.append(f"{label}.{name} is out of range in {wrong} rows, expected 1 to {MOST_RATIO:,.0f}")
    if schema is DELIVERIES:
        for name, values in (
            ("technology", TECHNOLOGIES), ("direction", (0, 1)), ("delivery_class", (*REPORTED, GASP)),
            ("cause", tuple(range(len(CAUSES)))),
        ):  # fmt: skip
            if name in columns and (strange := sorted(set(pc.unique(columns[name]).to_pylist()) - {*values, None})):
                told = ", ".join(map(str, values))
                faults.append(f"{label}.{name} holds {strange[:5]}, expected only {told}")
        for name, most in MOST_OF_FRAMES.items():
            if name in columns:
                outside = pc.or_(pc.less(columns[name], 0), pc.greater(columns[name], most))
                if wrong := pc.sum(outside).as_py() or 0:
                    faults.append(f"{label}.{name} is out of range in {wrong} rows, expected 0 to {most:,}")
        if columns.keys() >= {"sent_at", "arrived_at", "attempts"}:
            arrived = columns["arrived_at"]
            if early := pc.sum(pc.less(arrived, columns["sent_at"])).as_py() or 0:
                faults.append(f"{label}.arrived_at is before sent_at in {early} rows")
            if unsent := pc.sum(pc.and_(arrived.is_valid(), pc.equal(columns["attempts"], 0))).as_py() or 0:
                faults.append(f"{label}.arrived_at is there in {unsent} rows without attempts")
    return faults


def _all_null(columns: list[pa.ChunkedArray]) -> int:
    null = np.ones(len(columns[0]), dtype=bool)
    for column in columns:
        null &= column.is_null().to_numpy()
    return int(null.sum())
