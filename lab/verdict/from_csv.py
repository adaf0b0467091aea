"""`stored` from a CSV file as programs write them: separated by comma, semicolon, tab or bar, with point or comma.

What had to be found out is told, so that nothing is taken for granted silently.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from lab.verdict.conform import conform, unread
from lab.verdict.tables import STORED, Kind, TableError

_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_SHOWN, _SHOWN_NAMES = 100, 4
_DECIMAL_COMMA = r"^\s*[+-]?\d+(,\d+)?\s*$"
Tell = Callable[[str], object]


def stored_from_csv(path: Path, *, rows_at_most: int | None = None, tell: Tell = lambda _: None) -> pa.Table:
    """UTF-8 with a header; an empty cell is null; times in ISO 8601 with an offset.

    `rows_at_most`: only look at so many. `tell` hears a sentence for each thing that was found out.

    Raises:
        TableError: with every fault of the file.
    """
    label = f"stored ({path.name})"
    try:
        delimiter, header = _header(path, label)
        if repeated := sorted({n for n in header if header.count(n) > 1} & set(STORED.column_names())):
            raise TableError([f"{label}.{name} occurs more than once in the header" for name in repeated])
        kinds = {column.name: column.kind for column in STORED.columns if column.name in header}
        if not kinds:
            raise TableError([_unknown_header(header, label)])
        if rows_at_most is not None:
            table = _first_rows(path, delimiter, header, rows_at_most, label).select(list(kinds))
        else:
            table = _parsed(path, delimiter, kinds)
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
        raise TableError([f"{label}: {path} cannot be read as CSV: {_reason(error)}"]) from error
    if delimiter != ",":
        tell(f"{path.name} is separated by {_NAMES[delimiter]}")
    table = _with_points(table, kinds, lambda name: tell(f"{path.name} has decimal commas in {name}"))
    if ignored := unread(header, STORED):
        tell(f"{path.name} has columns that are not read: {', '.join(ignored)}")
    return conform(table, STORED, label=label, from_text=True, beside=header)


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        utf16 = error.object[:2] in (b"\xff\xfe", b"\xfe\xff")
        return f"it is not UTF-8, but {'UTF-16' if utf16 else 'of another encoding'}; save it as UTF-8"
    return str(error)


def _header(path: Path, label: str) -> tuple[str, list[str]]:
    """The separator that gives most of the known columns, and the header's names."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        head = file.read(1 << 16)
    if not head.strip():
        raise TableError([f"{label}: {path} is empty, expected a header line"])
    lines = [line for line in head.splitlines() if line]
    headers = {delimiter: next(csv.reader(lines, delimiter=delimiter), []) for delimiter in _NAMES}
    known = set(STORED.column_names())
    best = max(_NAMES, key=lambda delimiter: (len(known & set(headers[delimiter])), len(headers[delimiter])))
    return best, headers[best]


def _unknown_header(header: list[str], label: str) -> str:
    """A wrong separator is seen in the line as it stands, so it is shown."""
    shown = ", ".join(repr(name[:_SHOWN]) for name in header[:_SHOWN_NAMES])
    return (
        f"{label}: no column of the header is known; it is read as {shown}. It needs serial or usage_point, "
        "interval_start, interval_length_s and import_wh, in small letters, separated by comma, semicolon, tab or bar"
    )


def _first_rows(path: Path, delimiter: str, header: list[str], rows_at_most: int, label: str) -> pa.Table:
    """As text."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        records = (row for row in csv.reader(file, delimiter=delimiter) if row)
        next(records)
        rows = list(islice(records, rows_at_most))
    if uneven := [number for number, row in enumerate(rows, start=1) if len(row) != len(header)]:
        count = len(rows[uneven[0] - 1])
        hint = "; decimal commas need another separator, or quotes" if delimiter == "," and count > len(header) else ""
        raise TableError([f"{label}: row {uneven[0]} has {count} cells, but the header has {len(header)}{hint}"])
    cells = zip(*rows, strict=True) if rows else ([] for _ in header)
    return pa.Table.from_arrays(
        [pa.array([cell or None for cell in column], pa.string()) for column in cells], names=header
    )


def _parsed(path: Path, delimiter: str, kinds: dict[str, Kind]) -> pa.Table:
    try:
        return _read(path, delimiter, {name: kind.value for name, kind in kinds.items()})
    except pa.ArrowInvalid:
        # Once more as text: Arrow stops at the first cell that is not as usual, and there may be sense in it.
        return _read(path, delimiter, {name: pa.string() for name in kinds})


def _read(path: Path, delimiter: str, types: dict[str, pa.DataType]) -> pa.Table:
    return pa_csv.read_csv(
        path,
        parse_options=pa_csv.ParseOptions(delimiter=delimiter),
        convert_options=pa_csv.ConvertOptions(
            column_types=types,
            include_columns=list(types),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )


def _with_points(table: pa.Table, kinds: dict[str, Kind], found: Tell) -> pa.Table:
    """Numbers that are text with a decimal comma get a point, if all of their column are so."""
    for at, name in enumerate(table.column_names):
        values = table[name]
        if kinds[name] is not Kind.NUMBER or not pa.types.is_string(values.type):
            continue
        present = values.drop_null()
        has_comma = pc.any(pc.match_substring(present, ",")).as_py()
        if has_comma and pc.all(pc.match_substring_regex(present, _DECIMAL_COMMA)).as_py():
            table = table.set_column(at, name, pc.replace_substring(values, ",", "."))
            found(name)
    return table
