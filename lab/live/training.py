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
from lab.live.scoring import Score, score_device, score_number, score_words

MOST_EVENTS = 12
"""Of the head-end's, in a debrief."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What an exercise has really done: `devices`, `collectors` by the disturbance's name, and how many are behind."""

    devices: Mapping[str, str]
    collectors: Mapping[str, str]
    numbers: Mapping[str, int]
    reach: Mapping[str, frozenset[str]]

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

    def score(self, question: Question, answer: str) -> Score:
        if not answer.strip():
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
        """Score the answers. :raises UserError: answers to questions that were not asked."""
        known = [question.key for question in self.exercise.question]
        if unknown := [key for key in answers if key not in known]:
            raise UserError([f"{key!r} was not asked" for key in unknown], f"The questions are: {', '.join(known)}.")
        results = []
        for question in self.exercise.question:
            answer = answers.get(question.key, "")
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


def clock(time_s: float) -> str:
    """The time of day, UTC."""
    return f"{datetime.fromtimestamp(time_s, UTC):%H:%M:%S}"
