"""What was received and is not yet committed, in the shape in which it is written."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from operator import attrgetter
from struct import Struct
from typing import Any
from uuid import UUID

from headend.drivers import READING_COUNTERS, READING_MEASURES
from headend.store.register_records import AcceptedRow, DerivedRow, OnDemandRow, PollFailureRow, RegisterRow

#: A step of a command's life: command, attempt, state, instant, reason, actor, round trip [s].
StepRow = tuple[str, int, str, float, str | None, str | None, float | None]
#: A row of `Batch.readings`: these five, then READING_COUNTERS, then READING_MEASURES, of eight bytes each.
ROW_HEAD = ("meter_id", "interval_start_s", "interval_length_s", "received_at_us", "origin")
READING_ROW = Struct(f"={len(ROW_HEAD) + len(READING_COUNTERS)}q{len(READING_MEASURES)}d")
REPORTED, RECOVERED = 0, 1
#: Of what is only counted, or refused by the database, so much is kept.
MOST_EXAMPLE_BYTES = 4096

# In the order in which they are written.
_KINDS = (
    "readings",
    "derived",
    "registers",
    "accepted",
    "poll_failures",
    "implausible",
    "others",
    "events",
    "interruptions",
    "doubtful",
    "states",
    "communications",
    "collectors",
    "collector_supplies",
    "dead_letters",
    "dropped",
    "gaps",
    "command_steps",
    "on_demand",
    "traffic",
)
_all_but_readings = attrgetter(*_KINDS[1:])


@dataclass(slots=True)
class Dropped:
    """What is only counted: how often, and the first of it."""

    copies: int
    first_s: float
    payload: bytes
    detail: str


@dataclass(slots=True)
class Batch:
    """Readings lie flat: no object for each. Times are epoch s, those in `readings` as their names say."""

    #: Rows of READING_ROW.
    readings: bytearray = field(default_factory=bytearray)
    has_absent: bool = False
    registers: list[RegisterRow] = field(default_factory=list)
    accepted: list[AcceptedRow] = field(default_factory=list)
    derived: list[DerivedRow] = field(default_factory=list)
    poll_failures: list[PollFailureRow] = field(default_factory=list)
    #: meter, start, length, reason, channels as JSON, origin, received
    implausible: list[tuple[int, float, int, str, str, int, float]] = field(default_factory=list)
    #: meter, start, length, reading type, value, received
    others: list[tuple[int, float, int, str, float, float]] = field(default_factory=list)
    #: meter, sequence, code, device time, detail as JSON, received
    events: list[tuple[int, int, str, float, str, float]] = field(default_factory=list)
    states: dict[int, tuple[int, bool, int | None, float | None, float]] = field(default_factory=dict)
    communications: dict[tuple[int, float], bool] = field(default_factory=dict)
    collectors: dict[tuple[str, str], tuple[bool, int | None, int | None, float | None, float]] = field(
        default_factory=dict
    )
    collector_supplies: dict[tuple[str, str], tuple[bool, float]] = field(default_factory=dict)
    #: id, received, topic, payload, reason, detail
    dead_letters: list[tuple[UUID, float, str, bytes, str, str]] = field(default_factory=list)
    #: by topic, reason, and the number of the hour
    dropped: dict[tuple[str, str, int], Dropped] = field(default_factory=dict)
    interruptions: list[tuple[int, float, float | None, float | None, float | None]] = field(default_factory=list)
    #: meter, lost, back, why it is not believed, received
    doubtful: list[tuple[int, float, float | None, str, float]] = field(default_factory=list)
    gaps: list[tuple[int, float, int, str, str, float]] = field(default_factory=list)
    command_steps: list[StepRow] = field(default_factory=list)
    on_demand: list[OnDemandRow] = field(default_factory=list)
    #: messages and bytes, by carrier and the number of the hour
    traffic: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)

    def add_reading(
        self,
        meter_id: int,
        start_s: int,
        length_s: int,
        received_us: int,
        origin: int,
        counters: tuple[int, ...],
        measures: tuple[float, ...],
    ) -> None:
        """Append one row; `counters` and `measures` are decoded, so they fit."""
        self.readings += READING_ROW.pack(meter_id, start_s, length_s, received_us, origin, *counters, *measures)

    def drop(self, topic: str, reason: str, now_s: float, payload: bytes, detail: str, *, copies: int = 1) -> None:
        """Count what is not kept. `topic` and `payload` of the first in each hour are."""
        key = (topic, reason, int(now_s // 3600))
        known = self.dropped.get(key)
        if known is None:
            self.dropped[key] = Dropped(copies, now_s, payload, detail)
        else:
            known.copies += copies

    @property
    def rows(self) -> int:
        """Interval rows."""
        return self.reported_rows + len(self.derived)

    @property
    def reported_rows(self) -> int:
        """Interval rows as meters report them."""
        return len(self.readings) // READING_ROW.size

    @property
    def size(self) -> int:
        """Rows of every kind."""
        return self.reported_rows + sum(map(len, _all_but_readings(self)))

    def __bool__(self) -> bool:
        return bool(self.readings) or any(_all_but_readings(self))

    def parts(self) -> list["Batch"]:
        """Smaller batches that one after the other are this one; none if it is a single row."""
        filled = list(self._filled())
        if len(filled) > 1:
            return [self._only(name, found) for name, found in filled]
        name, found = filled[0]
        middle = len(found) // 2
        if name == "readings":
            middle = self.reported_rows // 2 * READING_ROW.size
        if not middle:
            return []
        if isinstance(found, dict):
            items = found.items()
            return [self._only(name, dict(islice(items, middle))), self._only(name, dict(islice(items, middle, None)))]
        return [self._only(name, found[:middle]), self._only(name, found[middle:])]

    def single(self) -> tuple[str, int | None, object]:
        """The one row of a batch without `parts`: its kind, its meter, and itself."""
        ((name, found),) = self._filled()
        if name == "readings":
            row = READING_ROW.unpack(found)
            return name, row[0], row
        row = next(iter(found.items())) if isinstance(found, dict) else found[0]
        first = row[0][0] if isinstance(row[0], tuple) else row[0]
        return name, first if isinstance(first, int) else None, row

    def _filled(self) -> Iterator[tuple[str, Any]]:
        return ((name, found) for name in _KINDS if (found := getattr(self, name)))

    def _only(self, name: str, found: Any) -> "Batch":
        return Batch(**{name: found}, has_absent=self.has_absent)
