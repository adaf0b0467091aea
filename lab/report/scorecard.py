"""The figures that a manager reads first."""

from dataclasses import dataclass

from lab.verdict.detection import Detection
from lab.verdict.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure of the scorecard; `tone`: good, bad, or nothing of both."""

    label: str
    value: str
    hint: str
    tone: str = ""


def scorecard(verdict: Verdict) -> list[Tile]:
    """Where each expected read went, then how it got there, then the outages."""
    reads = verdict.comparison.reads
    share = f"{reads.stored / reads.expected:.3%} of expected" if reads.expected else "nothing was expected"
    rejected = verdict.context.rejected_frames
    return [
        Tile("expected", f"{reads.expected:,}", "meter-intervals with supply"),
        Tile("stored", f"{reads.stored:,}", share),
        Tile("estimated", f"{reads.estimated:,}", "over missed polls or answers"),
        _zero("lost", reads.lost, "neither stored nor estimated"),
        _zero("altered", reads.altered, "not what the meter recorded"),
        _zero("duplicates", reads.duplicate_rows, "rows beyond the first"),
        Tile("recovered", f"{reads.recovered:,}", "obtained by asking again"),
        Tile("late", "–" if reads.late is None else f"{reads.late:,}", "stored after their deadline"),
        Tile("rejected frames", "–" if rejected is None else f"{rejected:,}", "kept as dead letters"),
        _outages(verdict.detection),
    ]


def lead(verdict: Verdict) -> str:
    """What a passed run comes to, in a sentence."""
    reads = verdict.comparison.reads
    rest = f", {reads.estimated:,} are estimated" if reads.estimated else ""
    return (
        f"All {len(verdict.criteria)} criteria met: {reads.stored:,} of {reads.expected:,} expected reads"
        f" are stored as their meters recorded them{rest}."
    )


def _zero(label: str, count: int, hint: str) -> Tile:
    return Tile(label, f"{count:,}", hint, "bad" if count else "good")


def _outages(detection: Detection | None) -> Tile:
    label = "outages found"
    if detection is None:
        return Tile(label, "–", "not reported by the head-end")
    found, injected, false = len(detection.matches), len(detection.injected), len(detection.false)
    localised = sum(match.localised for match in detection.matches)
    tone = "good" if localised == injected and not false else "bad"
    return Tile(label, f"{found} of {injected}", f"{localised} at the right device, {false:,} false", tone)
