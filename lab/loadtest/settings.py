"""The file of a load test: loads, shapes and objectives as validated, frozen values. Every fault is told at once."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lab.errors import UserError
from lab.scenario.times import shown
from lab.scenario.toml_lines import LineIndex
from loadtests.shapes import Shape, Storm, Wave, faults_of

FIND_KNEE = "find-knee"
_BUNDLED = resources.files("lab.loadtest").joinpath("loadtest.toml")
_BUNDLED_NAME = "loadtest.toml"

Positive = Annotated[float, Field(gt=0, lt=1e9)]
NotNegative = Annotated[float, Field(ge=0, lt=1e9)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Load(_Table):
    """`meters` at the peak; a capture period of each passes in `period_s`."""

    meters: Annotated[int, Field(ge=1, le=1_000_000)]
    period_s: Annotated[float, Field(ge=0.01, le=86_400)]
    readers: Annotated[int, Field(ge=0, le=1_000)]
    reader_pause_s: Annotated[float, Field(ge=0.01, le=3_600)]


class StormTable(_Table):
    at_s: NotNegative
    gather_s: Positive
    dark_s: Positive


class WaveTable(_Table):
    at_s: NotNegative
    within_s: Positive
    depth: Annotated[int, Field(ge=1, le=4_000)]


class ShapeTable(_Table):
    corners: Annotated[list[Annotated[list[float], Field(min_length=2, max_length=2)]], Field(min_length=2)]
    storm: StormTable | None = None
    wave: WaveTable | None = None

    def shape(self, name: str) -> Shape:
        return Shape(
            name,
            tuple((at_s, level) for at_s, level in self.corners),
            None if self.storm is None else Storm(**self.storm.model_dump()),
            None if self.wave is None else Wave(**self.wave.model_dump()),
        )


class Objectives(_Table):
    """What the system under load must keep to."""

    publish_to_commit_p95_ms: Positive
    lost: NotNegative
    errors: NotNegative


class Generator(_Table):
    """What the generator must keep to for the run to count."""

    lag_p95_ms: Positive
    sent_share: Annotated[float, Field(gt=0, le=1)]


class Ceilings(_Table):
    """What this machine is known to take, for throughput to be shown against."""

    messages_per_s: Positive | None = None
    rows_per_s: Positive | None = None


class Knee(_Table):
    """The first load, readings per second; by what each step multiplies it; how long a step is."""

    first_per_s: Positive
    factor: Annotated[float, Field(gt=1, le=10)]
    step_s: Annotated[float, Field(ge=2, le=3_600)]
    most_steps: Annotated[int, Field(ge=1, le=100)]


class LoadTest(BaseModel):
    """A file that has passed every check."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    load: Load
    shapes: Mapping[str, Shape]
    objectives: Objectives
    generator: Generator
    ceilings: Ceilings
    knee: Knee

    def with_load(self, **changes: object) -> LoadTest:
        return self.model_copy(update={"load": self.load.model_copy(update=changes)})


_TABLES: dict[str, type[_Table]] = {
    "load": Load,
    "objectives": Objectives,
    "generator": Generator,
    "ceilings": Ceilings,
    "knee": Knee,
}


def load_settings(path: Path | None = None) -> LoadTest:
    """The bundled file, with the tables and values that `path` gives instead.

    :raises UserError: every fault of the file, with lines.
    """
    bundled = _BUNDLED.read_text(encoding="utf-8")
    if path is None:
        return parse_settings("", str(_BUNDLED_NAME), bundled)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start + 1:,})") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    return parse_settings(text, str(path), bundled)


def parse_settings(text: str, source: str, bundled: str | None = None) -> LoadTest:
    """From TOML text; `source` names it in messages. Raises UserError as `load_settings` does."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{source} is not valid TOML: {error}", "See https://toml.io for the language.") from None
    base = tomllib.loads(bundled if bundled is not None else _BUNDLED.read_text(encoding="utf-8"))
    reading = _Reading(document, base, LineIndex(text))
    settings = reading.settings()
    if settings is None:
        faults = [f"{source}, line {line}: {message}" for line, message in sorted(reading.faults)]
        raise UserError(faults, f"Compare with the bundled file, which is commented: {_BUNDLED}")
    return settings


class _Reading:
    """One pass over a document that goes on after a fault, to find all of them."""

    def __init__(self, document: Mapping[str, Any], base: Mapping[str, Any], lines: LineIndex) -> None:
        self._document = document
        self._base = base
        self._lines = lines
        self.faults: list[tuple[int, str]] = []

    def settings(self) -> LoadTest | None:
        for name in self._document:
            if name not in (*_TABLES, "shape"):
                self._fault((name,), f"there is no table [{name}]; there are {', '.join([*_TABLES, 'shape'])}")
        tables = {name: self._table(name, model) for name, model in _TABLES.items()}
        shapes = self._shapes()
        if self.faults:
            return None
        return LoadTest.model_validate({**tables, "shapes": shapes})

    def _table(self, name: str, model: type[_Table]) -> _Table | None:
        given = self._document.get(name, {})
        if not isinstance(given, dict):
            self._fault((name,), f"{name!r} is {shown(given)}; write it as a table [{name}]")
            return None
        return self._validated((name,), {**self._base[name], **given}, model)

    def _shapes(self) -> dict[str, Shape]:
        given = self._document.get("shape", {})
        if not isinstance(given, dict):
            self._fault(("shape",), f"'shape' is {shown(given)}; write tables like [shape.plateau]")
            given = {}
        found = {}
        for name, value in {**self._base["shape"], **given}.items():
            table = self._validated(("shape", name), value, ShapeTable)
            if isinstance(table, ShapeTable):
                shape = table.shape(name)
                for fault in faults_of(shape):
                    self._fault(("shape", name), fault)
                found[name] = shape
        if FIND_KNEE in found:
            self._fault(("shape", FIND_KNEE), f"no shape can be called {FIND_KNEE}: it is a command")
        return found

    def _validated(self, path: tuple[str, ...], value: object, model: type[_Table]) -> _Table | None:
        if not isinstance(value, dict):
            self._fault(path, f"{path[-1]!r} is {shown(value)}; write it as a table [{'.'.join(path)}]")
            return None
        try:
            return model.model_validate(value)
        except ValidationError as error:
            for detail in error.errors():
                location = (*path, *detail["loc"])
                self._fault(location, _message(detail, location))
            return None

    def _fault(self, path: tuple[str | int, ...], message: str) -> None:
        self.faults.append((self._lines.line(path), message))


def _message(detail: Any, location: tuple[str | int, ...]) -> str:
    name = ".".join(str(part) for part in location)
    if detail["type"] == "missing":
        return f"{name} is missing"
    if detail["type"] == "extra_forbidden":
        return f"{name} is unknown"
    reason = detail["msg"]
    return f"{name} is {shown(detail['input'])}: {reason[:1].lower()}{reason[1:]}"
