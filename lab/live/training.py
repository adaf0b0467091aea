"""An exercise under way: what it hides, what it asks, and the debrief once the answers are in."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from lab.errors import UserError
from lab.live.exercise_files import Exercise, Question
from lab.live.feed import Event, Secret
from lab.live.incidents import Incident
from lab.live.scoring import (
    LONGEST_ANSWER,
    UNKNOWN,
    Score,
    device_of,
    number_of,
    same_words,
    score_device,
    score_number,
    score_words,
    shown,
)

MOST_EVENTS = 12
"""Of the head-end's, in a debrief."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What an exercise has really done: `devices`, `collectors` by the disturbance's name, and how many are behind.

    `reach`: whom each device of the feeder darkens; `all_collectors`, `meters`: what there is, to tell absurd answers.
    """

    devices: Mapping[str, str]
    collectors: Mapping[str, str]
    numbers: Mapping[str, int]
    reach: Mapping[str, frozenset[str]]
    all_collectors: Collection[str]
    meters: int

    def of(self, question: Question) -> str:
        """The right answer. Raises KeyError where there is none, since the disturbance was of another kind."""
        if question.answer is not None:
            return question.answer
        assert question.of is not None
        match question.kind:
            case "device":
                return self.devices[question.of]
            case "collector":
                return self.collectors[question.of]
            case _:
                return str(self.numbers[question.of])

    def check(self, question: Question, answer: str) -> None:
        """:raises ValueError: it is no answer to this question, right or wrong."""
        if not answer.strip():
            raise ValueError("there is no answer yet")
        if len(answer) > LONGEST_ANSWER or not answer.isprintable():
            raise ValueError(f"the answer must be one line of at most {LONGEST_ANSWER} characters")
        if answer.strip() == UNKNOWN:
            return
        match question.kind:
            case "device":
                device_of(answer, self.reach)
            case "number":
                number_of(answer, self.meters)
            case "collector" if not any(same_words(answer, name) for name in self.all_collectors):
                raise ValueError(f"there is no collector {shown(answer)}")
            case "choice" if not any(same_words(answer, option) for option in question.options):
                raise ValueError(f"{shown(answer)} is none of: {', '.join(question.options)}")

    def score(self, question: Question, answer: str) -> Score:
        if answer.strip() == UNKNOWN:
            return Score(0.0, "no answer")
        right = self.of(question)
        match question.kind:
            case "device":
                return score_device(answer, right, self.reach)
            case "number":
                return score_number(answer, int(right))
            case _:
                return score_words(answer, right)


class Training:
    """One exercise from its beginning to its debrief."""

    def __init__(self, exercise: Exercise, begun_s: int, incidents: Mapping[str, Incident], truth: Truth) -> None:
        self.exercise = exercise
        self.begun_s = begun_s
        self.incidents = incidents
        self._truth = truth
        self._began = time.monotonic()

    @property
    def hides(self) -> Collection[Secret]:
        return self.exercise.hides

    def posed(self) -> dict[str, Any]:
        """What the trainee is told: never an answer."""
        return {
            "name": self.exercise.name,
            "title": self.exercise.title,
            "briefing": " ".join(self.exercise.briefing.split()),
            "hides": sorted(self.exercise.hides),
            "begun_s": self.begun_s,
            "points": self.exercise.points,
            "questions": [
                {"key": q.key, "text": q.text, "kind": q.kind, "points": q.points, "options": q.options}
                for q in self.exercise.question
            ],
        }

    def debrief(self, answers: Mapping[str, str], now_s: int, heard: Sequence[Event]) -> dict[str, Any]:
        """Score the answers. :raises UserError: with all that is no answer, or was not asked: nothing is scored."""
        self._check(answers)
        results = []
        for question in self.exercise.question:
            answer = answers[question.key]
            score = self._truth.score(question, answer)
            results.append(
                {
                    "key": question.key,
                    "text": question.text,
                    "answer": answer,
                    "right": self._truth.of(question).replace(":", " "),
                    "earned": round(score.share * question.points, 1),
                    "points": question.points,
                    "remark": score.remark,
                    "explain": question.explain,
                }
            )
        return {
            "name": self.exercise.name,
            "title": self.exercise.title,
            "earned": round(sum(float(str(result["earned"])) for result in results), 1),
            "points": self.exercise.points,
            "simulated_s": now_s - self.begun_s,
            "wall_s": round(time.monotonic() - self._began, 1),
            "questions": results,
            "what_happened": [
                {"at_s": each.disturbance.from_s, "text": each.disturbance.label} for each in self.incidents.values()
            ],
            "what_was_heard": [
                asdict(event) for event in heard if event.at_s >= self.begun_s and event.source == "head-end"
            ][:MOST_EVENTS],
        }

    def _check(self, answers: Mapping[str, str]) -> None:
        known = [question.key for question in self.exercise.question]
        if unknown := [key for key in answers if key not in known]:
            raise UserError([f"{key!r} was not asked" for key in unknown], f"The questions are: {', '.join(known)}.")
        faults = []
        for question in self.exercise.question:
            try:
                self._truth.check(question, answers.get(question.key, ""))
            except ValueError as fault:
                faults.append(f"{question.text} {str(fault)[0].upper()}{str(fault)[1:]}.")
        if faults:
            raise UserError(faults, f"Answer with {UNKNOWN} what you do not know. The exercise goes on.")


def clock(time_s: float) -> str:
    """The time of day, UTC."""
    return f"{datetime.fromtimestamp(time_s, UTC):%H:%M:%S}"
