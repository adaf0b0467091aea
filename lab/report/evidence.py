"""One discrepancy in full: the three sides side by side, the physical frames around, and what else is known."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lab.report.dead_letters import DeadLetter, DeadLetters
from lab.report.events import RunEvent
from lab.report.meters import Meters
from lab.report.states import APART, DARK, KNOWN, UNHEARD, History
from lab.report.svg import instant
from lab.verdict.expected import GRACE_S

FRAMES_SHOWN, ROWS_SHOWN, LETTERS_SHOWN = 12, 4, 5
BLAME = {
    "unrecorded": "the meter",
    "lost": "what lies between the meter and the database",
    "altered": "what lies between the meter and the database",
    "fabricated": "the head-end",
    "estimate_off": "the head-end",
    "duplicate": "the head-end",
    "class_violation": "the meter",
    "late": "the connection, or the head-end's recovery",
    "extra": "the head-end",
    "recorded_twice": "the meter",
}
_CONCERNED = {
    "late": "committed_at",
    "recorded_twice": "recorded_at_s",
    "duplicate": "revision",
    "extra": "energised_s",
}
"""What a finding is about where it is not about a channel."""
_PHASES = (1, 2, 3)
_CHANNELS = (
    ("import Wh", ("import_wh",)),
    ("import by phase Wh", tuple(f"import_l{phase}_wh" for phase in _PHASES)),
    ("export Wh", ("export_wh",)),
    ("export by phase Wh", tuple(f"export_l{phase}_wh" for phase in _PHASES)),
    ("reactive by quadrant varh", tuple(f"reactive_q{number}_varh" for number in (1, 2, 3, 4))),
    ("import register Wh", ("import_register_wh",)),
    ("export register Wh", ("export_register_wh",)),
    ("reactive registers varh", tuple(f"reactive_q{number}_register_varh" for number in (1, 2, 3, 4))),
    ("maximum demand W", ("max_demand_import_w",)),
    ("of the period that ended", ("max_demand_at",)),
    ("power W", ("active_power_w",)),
    ("power by phase W", tuple(f"active_power_l{phase}_w" for phase in _PHASES)),
    ("reactive power by phase var", tuple(f"reactive_power_l{phase}_var" for phase in _PHASES)),
    ("voltage V", ("voltage_v",)),
    ("voltage by phase V", tuple(f"voltage_l{phase}_v" for phase in _PHASES)),
    ("current by phase A", tuple(f"current_l{phase}_a" for phase in _PHASES)),
    ("power factor by phase", tuple(f"power_factor_l{phase}" for phase in _PHASES)),
    ("status", ("status",)),
    ("seconds with supply", ("energised_s",)),
    ("interval", ("interval",)),
    ("measured", ("window",)),
    ("recorded", ("recorded_at_s",)),
    ("quality", ("quality",)),
    ("origin", ("origin",)),
    ("revision", ("revision",)),
    ("meter's clock", ("device_time",)),
    ("received", ("received_at",)),
    ("committed", ("committed_at",)),
)


@dataclass(frozen=True, slots=True)
class Line:
    """One quantity, a text for each of the sides; `differs`: it is the one that the finding is about."""

    name: str
    values: tuple[str, ...]
    differs: bool


@dataclass(frozen=True, slots=True)
class FrameRow:
    """A physical frame, which holds until the next: power, cumulative energy, and what flowed since the one before."""

    time: str
    energised: bool
    power_w: str
    import_wh: str
    flowed_wh: str


@dataclass(frozen=True, slots=True)
class Evidence:
    facts: tuple[tuple[str, str], ...]
    sides: tuple[str, ...]
    lines: tuple[Line, ...]
    frames: tuple[FrameRow, ...]
    letters: tuple[DeadLetter, ...]
    letters_cut: int


class Witness:
    """Answers for the meters of the findings that are shown; reads only their rows."""

    def __init__(
        self,
        run_dir: Path,
        usage_points: Iterable[str],
        meters: Meters,
        history: History,
        events: Sequence[tuple[int, RunEvent]],
        dead_letters: DeadLetters | None,
    ) -> None:
        wanted = sorted(set(usage_points))
        self._place = {point: row for row, point in enumerate(meters.usage_points)}
        self._meters, self._history, self._events, self._dead_letters = meters, history, events, dead_letters
        journals = [p for p in sorted((run_dir / "journal").glob("*.parquet")) if not p.stem.endswith("_events")]
        serials = dict(zip(meters.serials, meters.usage_points, strict=True))
        self._truth = _by_point([run_dir / "truth.parquet"], wanted, serials)
        self._journal = _by_point(journals, wanted, serials)
        self._stored = _by_point([run_dir / "stored.parquet"], wanted, serials)
        self._frames = _by_point([run_dir / "truth_frames.parquet"], wanted, serials)

    def of(self, finding: dict[str, Any]) -> Evidence:
        """`finding`: a row of discrepancies.SCHEMA."""
        point, length_s = finding["usage_point"] or "", finding["interval_length_s"]
        start_s = finding["interval_start"].timestamp()
        end_s = start_s + length_s
        sides: list[tuple[str, dict[str, Any]]] = []
        for name, table in (("truth", self._truth), ("journal", self._journal), ("stored", self._stored)):
            rows = [row for row in table.get(point, ()) if _start(row) < end_s and _end(row) > start_s]
            # the interval itself before those that merely overlap it
            rows.sort(key=lambda row: (_start(row) != start_s or _end(row) != end_s, _start(row)))
            sides += [(name, row) for row in rows[:ROWS_SHOWN]] or [(name, {})]
        letters = self._letters(point, start_s, end_s)
        return Evidence(
            self._facts(finding, point, start_s, end_s, [row for name, row in sides if name == "stored"]),
            tuple(name for name, _ in sides),
            tuple(
                _lines([row for _, row in sides], finding["channel"] or _CONCERNED.get(finding["kind"], "import_wh"))
            ),
            tuple(self._frames_around(point, start_s, end_s)),
            tuple(letters[:LETTERS_SHOWN]),
            max(len(letters) - LETTERS_SHOWN, 0),
        )

    def _facts(
        self, finding: dict[str, Any], point: str, start_s: float, end_s: float, stored: list[dict[str, Any]]
    ) -> tuple[tuple[str, str], ...]:
        facts = [("points to", BLAME.get(finding["kind"], ""))]
        place = self._place.get(point)
        if place is None:
            return (*facts, ("meter", "none at this usage point"))
        meters = self._meters
        through = f" through {meters.collectors[place]}" if meters.collectors[place] else ""
        facts.append(
            ("meter", f"{meters.serials[place]}, {meters.vendors[place]} over {meters.protocols[place]}{through}")
        )
        deadline_s = end_s + float(meters.report_every_s[place]) + GRACE_S
        facts.append(
            ("deadline", f"{instant(deadline_s)} (interval's end + {meters.report_every_s[place]} s + {GRACE_S} s)")
        )
        committed = [row["committed_at"].timestamp() for row in stored if row.get("committed_at")]
        until_s = max([deadline_s, *committed])
        for aspect, label in (
            (DARK, "dark"),
            (APART, "disconnected by its meter"),
            (UNHEARD, "not heard"),
            (KNOWN, "in an outage, says the head-end"),
        ):
            spans = [
                f"{instant(begin_s)} to {instant(finish_s)}"
                for begin_s, finish_s in self._history.spans(place, aspect)
                if begin_s < until_s and (finish_s is None or finish_s > start_s)
            ]
            if spans:
                facts.append((label, "; ".join(spans[:ROWS_SHOWN])))
        during = [
            f"{number} {event.label} ({instant(event.time_s)})"
            for number, event in self._events
            if event.time_s < until_s and (event.until_s or event.time_s) >= start_s
        ]
        if during:
            facts.append(("events meanwhile", "; ".join(during)))
        return tuple(facts)

    def _frames_around(self, point: str, start_s: float, end_s: float) -> list[FrameRow]:
        frames = sorted(self._frames.get(point, ()), key=lambda row: row["time"])
        times = [row["time"].timestamp() for row in frames]
        first = max((i for i, time_s in enumerate(times) if time_s <= start_s), default=0)
        last = min((i for i, time_s in enumerate(times) if time_s >= end_s), default=len(times) - 1)
        shown = []
        for i in range(first, min(last, first + FRAMES_SHOWN - 1) + 1):
            row = frames[i]
            flowed = "" if i == first else f"{row['import_wh'] - frames[i - 1]['import_wh']:,.2f}"
            power, energy = f"{row['active_power_w']:,.1f}", f"{row['import_wh']:,.2f}"
            shown.append(FrameRow(instant(times[i]), row["energised"], power, energy, flowed))
        return shown

    def _letters(self, point: str, start_s: float, end_s: float) -> list[DeadLetter]:
        """Dead letters of the meter, or of its collector, from the interval's beginning to well after its deadline."""
        place = self._place.get(point)
        if place is None or self._dead_letters is None:
            return []
        until_s = end_s + 2 * float(self._meters.report_every_s[place]) + GRACE_S
        letters = self._dead_letters.of(self._meters.serials[place], self._meters.collectors[place])
        return [letter for letter in letters if start_s <= letter.received_s <= until_s]


def _by_point(paths: list[Path], wanted: list[str], serials: dict[str, str]) -> dict[str, list[dict[str, Any]]]:
    """The rows of the wanted usage points; by serial where a file does not name the usage point."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    points = set(wanted)
    for path in paths:
        key = "usage_point" if "usage_point" in pq.read_schema(path).names else "serial"
        names = wanted if key == "usage_point" else [s for s, point in serials.items() if point in points]
        table: pa.Table = pq.read_table(path, filters=[(key, "in", names)]) if names else None
        for row in table.to_pylist() if table is not None else ():
            found[row[key] if key == "usage_point" else serials[row[key]]].append(row)
    return found


def _start(row: dict[str, Any]) -> float:
    start: datetime = row["interval_start"]
    return start.timestamp()


def _end(row: dict[str, Any]) -> float:
    return _start(row) + float(row["interval_length_s"])


def _lines(rows: list[dict[str, Any]], concerned: str) -> Iterable[Line]:
    for row in rows:
        if row:
            row["interval"] = f"{instant(_start(row))}, {row['interval_length_s']} s"
        if "window_start_s" in row:
            row["window"] = f"{instant(row['window_start_s'])} to {instant(row['window_end_s'])}"
    for name, columns in _CHANNELS:
        values = tuple(_text(row, columns) for row in rows)
        if any(values):
            yield Line(name, values, concerned in columns)


def _text(row: dict[str, Any], columns: tuple[str, ...]) -> str:
    values = [row.get(column) for column in columns]
    if all(value is None for value in values):
        return ""
    return " / ".join(_value(value, column) for value, column in zip(values, columns, strict=True))


def _value(value: object, column: str) -> str:
    if value is None:
        return "–"
    if isinstance(value, datetime):
        return instant(value.timestamp())
    if isinstance(value, float | int):
        if column == "recorded_at_s":
            return instant(float(value))
        return f"{value:,.10g}" if float(value).is_integer() else f"{value:,.2f}"
    return str(value)
