"""Exercises as data: `lab/exercises/*.toml`, read and checked."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from lab.errors import UserError, faults_of
from lab.live.asked import CommsLoss, Fault
from lab.live.feed import Secret
from lab.scenario.times import parse_duration

DurationS = Annotated[int, BeforeValidator(parse_duration)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Disturb(_Table):
    """Something that happens `after_s` the beginning; `wanted` is what would be asked of the lab by hand."""

    name: str
    after_s: DurationS = Field(alias="after")
    wanted: Annotated[Fault | CommsLoss, Field(discriminator="kind")]

    @model_validator(mode="before")
    @classmethod
    def _own_and_wanted(cls, table: dict[str, Any]) -> dict[str, Any]:
        own = {key: value for key, value in table.items() if key in ("name", "after")}
        return {**own, "wanted": {key: value for key, value in table.items() if key not in own}}


class Question(_Table):
    """The right answer is `answer`, or what is true `of` a disturbance: its device, its collector, or a number."""

    key: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]
    text: str
    kind: Literal["device", "collector", "number", "choice"]
    points: Annotated[int, Field(ge=1)]
    explain: str
    of: str | None = None
    truth: Literal["customers", "meters"] | None = None
    options: tuple[str, ...] = ()
    answer: str | None = None

    @model_validator(mode="after")
    def _has_an_answer(self) -> Self:
        if (self.answer is None) == (self.of is None):
            raise ValueError("a question needs either `answer` or `of`")
        if self.kind == "choice" and self.answer not in self.options:
            raise ValueError("the answer must be one of the options")
        if self.kind == "number" and self.of is not None and self.truth is None:
            raise ValueError("`truth` must say which number is meant")
        return self


class Exercise(_Table):
    """`hides`: what the page does not show while it goes on."""

    name: str
    title: str
    briefing: str
    hides: frozenset[Secret]
    disturb: Annotated[tuple[Disturb, ...], Field(min_length=1)]
    question: Annotated[tuple[Question, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        if "truth" not in self.hides:
            raise ValueError("an exercise hides the truth")
        names = {each.name for each in self.disturb}
        unknown = [question.key for question in self.question if question.of is not None and question.of not in names]
        if unknown:
            raise ValueError(f"no disturbance for: {', '.join(unknown)}")
        return self

    @property
    def points(self) -> int:
        return sum(question.points for question in self.question)


def exercise_names() -> list[str]:
    """Of all that come with amilab."""
    files = resources.files("lab").joinpath("exercises").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def load_exercise(name: str) -> Exercise:
    """:raises UserError: there is none of this name."""
    known = exercise_names()
    if name not in known:
        raise UserError(f"there is no exercise {name!r}; there are: {', '.join(known)}", "See `amilab exercise list`.")
    text = resources.files("lab").joinpath("exercises", f"{name}.toml").read_text(encoding="utf-8")
    return parse_exercise(name, text)


def parse_exercise(name: str, text: str) -> Exercise:
    """:raises UserError: with every fault of the file."""
    try:
        return Exercise.model_validate({"name": name, **tomllib.loads(text)})
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"exercise {name}: {error}") from error
    except ValidationError as error:
        raise UserError([f"exercise {name}: {fault}" for fault in faults_of(error)]) from error
