"""Lost phases that darken nobody: which there were, which meters told of them, and which never were.

Words (docs/verdict.md, One conductor open).

lost         truth: a phase of a usage point that had voltage before, while another of its phases had supply
told         what the head-end stores of it: `phase_loss`, and `phase_restored` once it is back. Both say when the meter
             lost the phase; they agree with a loss of the same usage point and phase that began within CLOCK_S of that
judged       a loss of more than five minutes beside a supply, whose meter keeps a log of outages. A polled meter has
             none, and shows 0 V at most
found        a judged loss that was told, with its end if it ended within the window
false        a loss told that agrees with none, however short
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from lab.verdict.outages import MOMENTARY_AT_MOST_S
from lab.verdict.read_run import collected, read_parquet
from lab.verdict.tables import PHASE_EVENTS, PHASE_EVENTS_FILE, PHASE_LOSSES, capability

PHASE_LOSSES_FILE = "truth_phase_losses.parquet"
CLOCK_S = 60.0
"""amilab's own: how far off a meter's clock may be in what it says of a lost phase."""
LOSS, RESTORED = "phase_loss", "phase_restored"


@dataclass(frozen=True, slots=True)
class LostPhase:
    """Times are epoch seconds; `end_s` is None where it outlasts the window. `partial_s`: longest beside a supply."""

    usage_point: str
    phase: str
    start_s: float
    end_s: float | None
    partial_s: float


@dataclass(frozen=True, slots=True)
class ToldLoss:
    """What a meter said of one loss. Without `down_s` or phase it says nothing that can be true."""

    usage_point: str
    phase: str
    down_s: float | None
    told: bool = False
    up_s: tuple[float, ...] = ()
    """When the phase came back, as it said; empty if it did not."""


@dataclass(frozen=True, slots=True)
class PhaseLosses:
    """`judged`: losses that are to be told; `found`: those of them that were. `mute`: of meters that cannot tell."""

    judged: tuple[LostPhase, ...]
    found: frozenset[LostPhase]
    brief: tuple[LostPhase, ...]
    mute: tuple[LostPhase, ...]
    false: tuple[ToldLoss, ...]

    @property
    def applies(self) -> bool:
        """Whether there is anything to be judged: meters cannot be held to what they cannot tell."""
        return bool(self.judged or self.brief or self.false)

    @property
    def missed(self) -> tuple[LostPhase, ...]:
        return tuple(loss for loss in self.judged if loss not in self.found)

    @property
    def recall(self) -> float:
        return len(self.found) / len(self.judged) if self.judged else 1.0

    def to_json(self) -> dict[str, object]:
        """As in verdict.json."""
        return {
            "judged": len(self.judged),
            "told": len(self.found),
            "false": len(self.false),
            "brief": len(self.brief),
            "cannot_tell": len(self.mute),
            "recall": self.recall,
        }


def read_phase_losses(run_dir: Path) -> tuple[pa.Table, pa.Table] | None:
    """Truth and what the head-end stores of it; None where either is not there: of earlier runs, of other head-ends.

    Raises:
        TableError: with the faults of both files.
    """
    truth, told = run_dir / PHASE_LOSSES_FILE, run_dir / PHASE_EVENTS_FILE
    if not truth.exists() or not told.exists():
        return None
    lost, events = collected((lambda: read_parquet(truth, PHASE_LOSSES), lambda: read_parquet(told, PHASE_EVENTS)))
    return lost, events


def judge_phases(
    lost: pa.Table, events: pa.Table, fleet: pa.Table, *, start_s: float, end_s: float
) -> PhaseLosses | None:
    """On the losses that began in [start_s, end_s) at the meters of `fleet`; None without any, and none told."""
    points = fleet["usage_point"].cast(pa.string()).to_pylist()
    tells = dict(zip(points, capability(fleet, "reports_outages").tolist(), strict=True))
    losses = _losses(lost, tells, start_s=start_s, end_s=end_s)
    told = _told(events, tells, start_s=start_s, end_s=end_s)
    able = [loss for loss in losses if tells[loss.usage_point]]
    if not losses and not told:
        return None
    by_phase: dict[tuple[str, str], list[ToldLoss]] = defaultdict(list)
    for each in told:
        by_phase[each.usage_point, each.phase].append(each)
    judged = tuple(loss for loss in able if loss.partial_s > MOMENTARY_AT_MOST_S)
    return PhaseLosses(
        judged=judged,
        found=frozenset(loss for loss in judged if _is_found(loss, by_phase[loss.usage_point, loss.phase])),
        brief=tuple(loss for loss in able if loss.partial_s <= MOMENTARY_AT_MOST_S),
        mute=tuple(loss for loss in losses if not tells[loss.usage_point]),
        false=_false(told, losses),
    )


def _is_found(loss: LostPhase, told: Collection[ToldLoss]) -> bool:
    said = [each for each in told if _agrees(each, loss)]
    if not any(each.told for each in said):
        return False
    return loss.end_s is None or any(_close(up_s, loss.end_s) for each in said for up_s in each.up_s)


def _false(told: Collection[ToldLoss], losses: Collection[LostPhase]) -> tuple[ToldLoss, ...]:
    by_phase: dict[tuple[str, str], list[LostPhase]] = defaultdict(list)
    for loss in losses:
        by_phase[loss.usage_point, loss.phase].append(loss)
    return tuple(
        each for each in told if not any(_agrees(each, loss) for loss in by_phase[each.usage_point, each.phase])
    )


def _agrees(told: ToldLoss, loss: LostPhase) -> bool:
    """Of the same usage point and phase."""
    return told.down_s is not None and _close(told.down_s, loss.start_s)


def _close(one_s: float, other_s: float) -> bool:
    return abs(one_s - other_s) <= CLOCK_S


def _losses(table: pa.Table, metered: Collection[str], *, start_s: float, end_s: float) -> list[LostPhase]:
    starts, ends = _seconds(table["start"]), _seconds(table["end"])
    columns = (table[name].to_pylist() for name in ("usage_point", "phase", "partial_s"))
    return [
        LostPhase(point, phase, start, end if end is not None and end < end_s else None, partial_s)
        for (point, phase, partial_s), start, end in zip(zip(*columns, strict=True), starts, ends, strict=True)
        if start is not None and start_s <= start < end_s and point in metered
    ]


def _told(table: pa.Table, metered: Collection[str], *, start_s: float, end_s: float) -> list[ToldLoss]:
    """Of each usage point, phase and `down_at` once; those before and after the window are of no matter."""
    said: dict[tuple[str, str, float | None], tuple[bool, list[float]]] = {}
    downs, ups = _seconds(table["down_at"]), _seconds(table["up_at"])
    columns = (table[name].to_pylist() for name in ("usage_point", "code", "phase"))
    for (point, code, phase), down_s, up_s in zip(zip(*columns, strict=True), downs, ups, strict=True):
        if point not in metered or code not in (LOSS, RESTORED):
            continue
        if down_s is not None and not start_s - CLOCK_S <= down_s < end_s:
            continue
        told, back_s = said.get((point, phase or "", down_s), (False, []))
        said[point, phase or "", down_s] = told or code == LOSS, back_s + ([] if up_s is None else [up_s])
    return [ToldLoss(*key, told, tuple(back_s)) for key, (told, back_s) in said.items()]


def _seconds(column: pa.ChunkedArray) -> list[float | None]:
    micros: list[int | None] = pc.cast(column, pa.int64()).to_pylist()
    return [None if each is None else each / 1e6 for each in micros]


def by_span(losses: Collection[LostPhase]) -> Mapping[tuple[str, float, float | None], list[LostPhase]]:
    """Those of one phase and the same instants: what one device did, as a rule. By time."""
    spans: dict[tuple[str, float, float | None], list[LostPhase]] = defaultdict(list)
    for loss in sorted(losses, key=lambda loss: (loss.start_s, loss.phase, loss.usage_point)):
        spans[loss.phase, loss.start_s, loss.end_s].append(loss)
    return spans
