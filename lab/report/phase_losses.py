"""Lost phases that darken nobody, for reading: one row for those of the same phase and instants."""

from collections.abc import Sequence
from dataclasses import dataclass

from lab.verdict.phase_losses import LostPhase, PhaseLosses, ToldLoss, by_span

NAMED_AT_MOST = 60


@dataclass(frozen=True, slots=True)
class PhaseRow:
    """`customers` who lost the phase and kept another: those whose meters tell of it, who told, and who cannot.

    `brief` ones of those that tell lost it for so short that nobody asks; `missed`: usage points that should have told.
    """

    phase: str
    start_s: float
    end_s: float | None
    customers: int
    asked: int
    told: int
    brief: int
    mute: int
    missed: tuple[str, ...]

    @property
    def right(self) -> bool:
        return self.asked == self.told

    @property
    def named(self) -> Sequence[str]:
        return self.missed[:NAMED_AT_MOST]

    @property
    def cut(self) -> int:
        return len(self.missed) - len(self.named)


@dataclass(frozen=True, slots=True)
class PhaseReport:
    rows: tuple[PhaseRow, ...]
    false: tuple[ToldLoss, ...]
    cut: int
    """False ones that are not listed."""


def describe_phases(phases: PhaseLosses) -> PhaseReport:
    """By time; `false` cut to the first ones."""
    spans = by_span((*phases.judged, *phases.brief, *phases.mute))
    judged, brief, mute = frozenset(phases.judged), frozenset(phases.brief), frozenset(phases.mute)

    def row(phase: str, start_s: float, end_s: float | None, losses: Sequence[LostPhase]) -> PhaseRow:
        asked = judged.intersection(losses)
        return PhaseRow(
            phase,
            start_s,
            end_s,
            customers=len(losses),
            asked=len(asked),
            told=len(asked & phases.found),
            brief=len(brief.intersection(losses)),
            mute=len(mute.intersection(losses)),
            missed=tuple(sorted(loss.usage_point for loss in asked - phases.found)),
        )

    shown = phases.false[:NAMED_AT_MOST]
    return PhaseReport(
        tuple(row(*span, losses) for span, losses in spans.items()), shown, len(phases.false) - len(shown)
    )
