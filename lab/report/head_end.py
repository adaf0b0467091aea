"""What the head-end itself says of its reads: the rows of its views, as the dashboards show them (docs/database.md)."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.headends.files import FIGURES_FILE
from lab.report.written import length

ALL = "all"
_COLUMNS = (
    ("due", "intervals whose deadline has passed"),
    ("dark", "not owed: the meter was known to be dark"),
    ("no record", "not owed: the meter says that it has none"),
    ("expected", "due, without dark and no record"),
    ("on time", "share of expected"),
    ("received", "share of expected"),
    ("late", "received after their deadline"),
    ("estimated", "over missed polls"),
    ("missing", "neither received nor estimated"),
    ("recovered", "only after being asked for"),
    ("age, 50\u00a0%", "from the end of the interval to the commit"),
    ("95 %", "from the end of the interval to the commit"),
    ("polls refused", "answered with an exception of the meter's own, or with what cannot be"),
    ("no answer", "polls that nobody answered, or the gateway alone"),
)
_COUNTS = ("due", "dark", "no_record", "expected", "late", "estimated", "missing")
_NOTHING_DUE = dict.fromkeys((*_COUNTS, "recovered"), 0) | dict.fromkeys(("on_time_share", "received_share"))


@dataclass(frozen=True, slots=True)
class FigureRow:
    """Of one vendor, or of all; a text for each column."""

    vendor: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HeadEndFigures:
    """`columns`: title and meaning. `rows`: by vendor, all of them last."""

    columns: tuple[tuple[str, str], ...]
    rows: tuple[FigureRow, ...]


def read_head_end(run_dir: Path) -> HeadEndFigures | None:
    """None where the head-end is somebody else's, or has nothing that is due."""
    path = run_dir / FIGURES_FILE
    if not path.exists():
        return None
    document = json.loads(path.read_text(encoding="utf-8"))
    latency = {row["vendor_profile"]: row for row in document["latency"]}
    polls = {row["vendor_profile"]: row for row in document["polls"]}
    if polls:
        polls[None] = {name: sum(row[name] for row in polls.values()) for name in ("refused", "unanswered")}
    due = {row["vendor_profile"] for row in document["reads"]}
    # Who reports in blocks may have sent intervals that are not due yet: the ages of all count them.
    early = [{**_NOTHING_DUE, "vendor_profile": vendor} for vendor in latency.keys() - due if document["reads"]]
    rows = sorted(
        [*document["reads"], *early], key=lambda row: (row["vendor_profile"] is None, row["vendor_profile"] or "")
    )
    if not rows:
        return None
    shown = len(_COLUMNS) if polls else len(_COLUMNS) - 2
    return HeadEndFigures(
        _COLUMNS[:shown],
        tuple(
            FigureRow(row["vendor_profile"] or ALL, _values(row, latency, polls)[:shown])
            for row in rows
            # One vendor alone is all of them.
            if row["vendor_profile"] is not None or len(rows) > 2
        ),
    )


def _values(
    row: Mapping[str, Any],
    latency: Mapping[str | None, Mapping[str, Any]],
    polls: Mapping[str | None, Mapping[str, Any]],
) -> tuple[str, ...]:
    vendor = row["vendor_profile"]
    age, polled = latency.get(vendor, {}), polls.get(vendor)
    counts = {name: f"{row[name]:,}" for name in _COUNTS}
    return (
        *(counts[name] for name in ("due", "dark", "no_record", "expected")),
        _share(row["on_time_share"]),
        _share(row["received_share"]),
        *(counts[name] for name in ("late", "estimated", "missing")),
        f"{row['recovered']:,}",
        _age(age.get("age_p50_s")),
        _age(age.get("age_p95_s")),
        *(("–", "–") if polled is None else (f"{polled['refused']:,}", f"{polled['unanswered']:,}")),
    )


def _share(share: float | None) -> str:
    """Cut, not rounded: what is short of all must not look like it."""
    return "–" if share is None else f"{math.floor(share * 100_000) / 1000:g} %"


def _age(age_s: float | None) -> str:
    if age_s is None:
        return "–"
    if age_s <= 1:
        return "≤ 1 s"
    # Of many minutes nobody wants the seconds.
    return length(age_s if age_s < 600 else round(age_s / 60) * 60)
