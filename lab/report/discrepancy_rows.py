"""All discrepancies as a table that leaves the report: for the filter and the download on the page, and as a file.

What meters say of themselves is foreign text. A spreadsheet takes a cell that begins with one of `= + - @` for a
formula, so such a text gets an apostrophe in front of it, as OWASP advises; numbers are ours and stay numbers.
"""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lab.report.states import seconds

CSV_FILE = "discrepancies.csv"
ON_THE_PAGE = 20_000
"""The page keeps so many, of which it can make a file without a server; the file beside it has all."""
_TEXTS = ("kind", "cause", "vendor", "usage_point", "serial", "channel")
_NUMBERS = ("interval_length_s", "truth", "journal", "stored", "by")
HEADER = ("kind", "cause", "vendor", "usage_point", "serial", "interval_start", "interval_length_s", "channel", "truth",
          "journal", "stored", "by")  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def defused(text: str) -> str:
    """A text that no spreadsheet computes. Spaces in front of a formula do not hide it."""
    return "'" + text if text.lstrip(" \u00a0").startswith(_FORMULA) or text.startswith(_FORMULA) else text


def columns_of(
    discrepancies: pa.Table, causes: NDArray[np.object_], vendors: NDArray[np.object_]
) -> dict[str, list[Any]]:
    """The columns of HEADER; times are ISO 8601 in UTC."""
    found: dict[str, list[Any]] = {"cause": causes.tolist(), "vendor": vendors.tolist()}
    for name in ("kind", "usage_point", "serial", "channel"):
        found[name] = [value or "" for value in discrepancies[name].cast(pa.string()).to_pylist()]
    found["interval_start"] = [
        str(np.datetime64(round(time_s * 1e3), "ms")).removesuffix(".000") + "Z"
        for time_s in seconds(discrepancies["interval_start"]).tolist()
    ]
    for name in _NUMBERS:
        found[name] = discrepancies[name].to_pylist()
    return {name: found[name] for name in HEADER}


def write_csv(columns: dict[str, list[Any]], path: Path) -> None:
    """RFC 4180, with a byte order mark, without which Excel takes it for its own code page."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(HEADER)
    safe = {name: list(map(defused, values)) if name in _TEXTS else values for name, values in columns.items()}
    writer.writerows(zip(*(safe[name] for name in HEADER), strict=True))
    path.write_bytes(b"\xef\xbb\xbf" + text.getvalue().encode("utf-8", errors="replace"))


def page_data(columns: dict[str, list[Any]], group_of: Sequence[int]) -> dict[str, Any]:
    """For the page's script: texts as numbers of a list of theirs, defused as in the file; at most ON_THE_PAGE rows."""
    data: dict[str, Any] = {
        "header": HEADER, "total": len(group_of), "group": group_of[:ON_THE_PAGE], "texts": {}, "columns": {}
    }  # fmt: skip
    for name, values in columns.items():
        cut = values[:ON_THE_PAGE]
        if name not in _TEXTS:
            data["columns"][name] = [None if isinstance(v, float) and v != v else v for v in cut]
            continue
        known: dict[str, int] = {}
        data["columns"][name] = [known.setdefault(defused(value), len(known)) for value in cut]
        data["texts"][name] = list(known)
    return data
