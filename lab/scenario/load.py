"""Loads scenarios: what a run is to live through, as TOML. `lab/scenarios/quickstart.toml` shows the shape.

Every fault of a file is reported at once, with its line.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from grid.wording import clock
from lab.errors import UserError
from lab.fleet.presets import PROFILE_FILE, anchored_shares
from lab.scenario.events import (
    EVENT_KINDS,
    SELECTOR_TAGS,
    CollectorFailureEvent,
    ConductorEvent,
    Event,
    KillEvent,
    NetworkEvent,
    OutageEvent,
    RebootEvent,
    RelayEvent,
    RotateEvent,
    UpdateEvent,
    UplinkLossEvent,
    form_of,
)
from lab.scenario.fields import Table
from lab.scenario.model import FeederChoice, FleetChoice, Head, Scenario, ScenarioFile
from lab.scenario.network import NetworkChoice, known_parameters
from lab.scenario.radio_events import RadioEvent
from lab.scenario.times import LATEST_S, parse_duration, shown
from lab.scenario.toml_lines import LineIndex
from meters.errors import ProfileError
from meters.vendors.registry import known_profiles

__all__ = [
    "CollectorFailureEvent",
    "ConductorEvent",
    "Event",
    "FeederChoice",
    "FleetChoice",
    "KillEvent",
    "NetworkEvent",
    "OutageEvent",
    "RadioEvent",
    "RebootEvent",
    "RelayEvent",
    "RotateEvent",
    "Scenario",
    "UpdateEvent",
    "UplinkLossEvent",
    "anchored_feeder",
    "bundled_scenarios",
    "load_scenario",
    "parse_duration",
    "parse_scenario",
]

FEEDER_FILE = "file:"
"""Begins the name of a feeder that is read from a file."""
_BUNDLED = resources.files("lab").joinpath("scenarios")
_EXAMPLE = _BUNDLED.joinpath("quickstart.toml")
_Model = TypeVar("_Model", bound=Table)


def bundled_scenarios() -> list[str]:
    """The names of the scenarios that come with amilab."""
    return sorted(file.name.removesuffix(".toml") for file in _BUNDLED.iterdir() if file.name.endswith(".toml"))


def load_scenario(
    name_or_path: str,
    *,
    seed: int | None = None,
    duration_s: int | None = None,
    known_criteria: Iterable[str] | None = None,
) -> Scenario:
    """A bundled scenario by its name, or one from a file. `seed` and `duration_s` replace the file's own.

    :param known_criteria: ids that `[criteria]` may name; any if not given.
    :raises UserError: every fault of the file, with lines.
    """
    bundled = bundled_scenarios()
    if name_or_path in bundled:
        text = _BUNDLED.joinpath(f"{name_or_path}.toml").read_text(encoding="utf-8")
        return parse_scenario(
            text, f"{name_or_path}.toml", seed=seed, duration_s=duration_s, known_criteria=known_criteria
        )
    try:
        text = Path(name_or_path).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{name_or_path} is not UTF-8 text (byte {error.start + 1:,})") from None
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UserError(
            f"there is no scenario {name_or_path!r}: it is not bundled, and as a file: {reason}",
            f"Bundled scenarios: {', '.join(bundled)}.{_suggestion(name_or_path, bundled)}",
        ) from None
    scenario = parse_scenario(text, name_or_path, seed=seed, duration_s=duration_s, known_criteria=known_criteria)
    directory = Path(name_or_path).parent
    feeder = anchored_feeder(scenario.feeder.name, directory)
    return scenario.model_copy(
        update={
            "feeder": scenario.feeder.model_copy(update={"name": feeder}),
            "fleet": _anchored_fleet(scenario.fleet, directory),
        }
    )


def _anchored_fleet(fleet: FleetChoice, directory: Path) -> FleetChoice:
    """With the whole paths of profiles in files; `directory` is where relative ones start."""
    own = fleet.of(anchored_shares(fleet.by_profile, directory))
    if own.transformer_meters is None:
        return own
    (anchored,) = anchored_shares({own.transformer_meters: 1.0}, directory)
    return own.model_copy(update={"transformer_meters": anchored})


def anchored_feeder(name: str, directory: Path) -> str:
    """The feeder's name, in which the path of a file is absolute; `directory` is where a relative one starts."""
    if not name.startswith(FEEDER_FILE):
        return name
    return FEEDER_FILE + str((directory / name.removeprefix(FEEDER_FILE)).absolute())


def parse_scenario(
    text: str,
    source: str,
    *,
    seed: int | None = None,
    duration_s: int | None = None,
    known_criteria: Iterable[str] | None = None,
) -> Scenario:
    """A scenario from TOML text; `source` names it in messages. Parameters and errors as for `load_scenario`."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{source} is not valid TOML: {error}", "See https://toml.io for the language.") from None
    except RecursionError:
        raise UserError(f"{source} is not a scenario: its values are nested too deeply") from None
    reading = _Reading(document, LineIndex(text))
    scenario = reading.scenario(seed, duration_s, None if known_criteria is None else sorted(known_criteria))
    if scenario is None or reading.faults:
        faults = [f"{source}, line {line}: {message}" for line, message in sorted(reading.faults)]
        raise UserError(faults, f"Compare with the bundled scenario, which is commented: {_EXAMPLE}")
    return scenario


class _Reading:
    """One pass over a document that goes on after a fault, to find all of them."""

    def __init__(self, document: Mapping[str, Any], lines: LineIndex) -> None:
        self._document = document
        self._lines = lines
        self.faults: list[tuple[int, str]] = []

    def scenario(self, seed: int | None, duration_s: int | None, known_criteria: list[str] | None) -> Scenario | None:
        self._refuse_unknown_tables()
        head = self._table("scenario", Head)
        if head is not None:
            changes = {"seed": seed, "duration_s": duration_s}
            head = head.model_copy(update={name: value for name, value in changes.items() if value is not None})
        feeder = self._table("feeder", FeederChoice)
        fleet = self._table("fleet", FleetChoice)
        network = self._network()
        if fleet is not None:
            self._check_fleet(fleet)
        events = self._events()
        criteria = self._criteria(known_criteria)
        if head is not None:
            self._check_end(head)
            self._check_times(head, events, shortened=duration_s is not None)
        self._check_kills(events)
        self._check_rotations(events)
        if head is None or feeder is None or fleet is None or network is None or self.faults:
            return None
        return Scenario(
            **head.model_dump(by_alias=False),
            feeder=feeder,
            fleet=fleet,
            network=network,
            events=tuple(events),
            criteria=criteria,
        )

    def _fault(self, path: tuple[str | int, ...], message: str) -> None:
        self.faults.append((self._lines.line(path), message))

    def _refuse_unknown_tables(self) -> None:
        known = list(ScenarioFile.model_fields)
        for name in self._document:
            if name not in known:
                tables = ", ".join(f"[{table}]" if table != "event" else "[[event]]" for table in known)
                self._fault((name,), f"{name!r} is unknown; a scenario has {tables}.{_suggestion(name, known)}")

    def _table(self, name: str, model: type[_Model]) -> _Model | None:
        if name not in self._document:
            self._fault((), f"the table [{name}] is missing")
            return None
        return self._validated(self._document[name], (name,), model)

    def _network(self) -> NetworkChoice | None:
        choice = self._validated(self._document.get("network", {}), ("network",), NetworkChoice)
        try:
            if choice is not None:
                choice.check()
        except ValueError as error:
            self._fault(("network",), str(error))
        return choice

    def _validated(self, value: object, path: tuple[str | int, ...], model: type[_Model]) -> _Model | None:
        if not isinstance(value, dict):
            self._fault(path, f"{path[0]!r} must be a table")
            return None
        try:
            return model.model_validate(value)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                location = tuple(part for part in detail["loc"] if part not in SELECTOR_TAGS)
                self._fault((*path, *location), _message(detail, location, model))
            return None

    def _events(self) -> list[Event]:
        raw = self._document.get("event", [])
        if not isinstance(raw, list):
            self._fault(("event",), "events are written [[event]], with two brackets, once for each")
            return []
        events: list[Event] = []
        for index, value in enumerate(raw):
            path = ("event", index)
            kind = value.get("kind") if isinstance(value, dict) else None
            if not isinstance(kind, str) or kind not in EVENT_KINDS:
                given = "no kind" if kind is None else f"the unknown kind {shown(kind)}"
                hint = _suggestion(kind, EVENT_KINDS) if isinstance(kind, str) else ""
                self._fault((*path, "kind"), f"this event has {given}; there are {', '.join(EVENT_KINDS)}.{hint}")
                continue
            if "line" in value:
                self._fault((*path, "line"), "'line' is unknown")
                continue
            event = self._validated({**value, "line": self._lines.line(path)}, path, form_of(kind, value))
            if event is not None:
                events.append(event)
        return events

    def _criteria(self, known: list[str] | None) -> dict[str, float]:
        raw = self._document.get("criteria", {})
        if not isinstance(raw, dict):
            self._fault(("criteria",), "'criteria' must be a table")
            return {}
        found: dict[str, float] = {}
        for path, value in _leaves(raw):
            name = ".".join(path)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                self._fault(("criteria", *path), f"the target of {name} is {shown(value)}; it must be a number")
            elif known is not None and name not in known:
                message = f"{name!r} is not a criterion; there are {', '.join(known)}.{_suggestion(name, known)}"
                self._fault(("criteria", *path), message)
            elif name in found:
                self._fault(("criteria", *path), f"{name} is given twice")
            else:
                found[name] = value
        return found

    def _check_fleet(self, fleet: FleetChoice) -> None:
        given = [name for name in ("preset", "profile", "shares") if getattr(fleet, name) is not None]
        if len(given) > 1:
            message = f"{' and '.join(map(repr, given))} exclude each other: give one of them"
            self._fault(("fleet", given[-1]), message)
        try:
            known = known_profiles()
        except ProfileError as error:
            raise UserError(str(error), "Correct the package that brings it, or uninstall that.") from error
        named = [(name, ("shares", name) if fleet.shares is not None else ("profile",)) for name in fleet.by_profile]
        if fleet.at_transformers is not None:
            named.append((fleet.at_transformers, ("transformer_meters",)))
        for name, key in named:
            if not name.startswith(PROFILE_FILE) and name not in known:
                path = ("fleet", *key)
                message = f"{name!r} is no vendor profile; there are {', '.join(known)}, and {PROFILE_FILE}<path>."
                self._fault(path, message + _suggestion(name, known))

    def _check_end(self, head: Head) -> None:
        if head.start_s + head.duration_s + head.settle_s > LATEST_S:
            message = "with its settling time the run ends after 2100-01-01, where the dates of meters' protocols end"
            self._fault(("scenario", "duration"), message)

    def _check_times(self, head: Head, events: list[Event], *, shortened: bool) -> None:
        end = clock(head.duration_s)
        of_whom = "the duration asked for" if shortened else "the scenario's duration"
        for event in events:
            if event.at_s >= head.duration_s:
                message = f"this {event.kind} begins at {clock(event.at_s)}, beyond {of_whom} ({end})"
                self.faults.append((event.line, message))
            elif event.ends_s > head.duration_s + head.settle_s:
                last = clock(head.duration_s + head.settle_s)
                message = (
                    f"this {event.kind} is over only at {clock(event.ends_s)}, beyond {of_whom} and settling ({last})"
                )
                self.faults.append((event.line, message))

    def _check_kills(self, events: list[Event]) -> None:
        kills = sorted((event for event in events if isinstance(event, KillEvent)), key=lambda event: event.at_s)
        back: dict[str, KillEvent] = {}
        for kill in kills:
            before = back.get(kill.part)
            if before is not None and kill.at_s <= before.ends_s:
                message = (
                    f"the {kill.part} cannot be killed at {clock(kill.at_s)}: by line {before.line} it is down until "
                )
                self.faults.append((kill.line, message + clock(before.ends_s)))
            if before is None or kill.ends_s > before.ends_s:
                back[kill.part] = kill

    def _check_rotations(self, events: list[Event]) -> None:
        rotations = sorted((event for event in events if isinstance(event, RotateEvent)), key=lambda event: event.at_s)
        for before, rotation in pairwise(rotations):
            if rotation.at_s <= before.ends_s:
                message = f"this rotation begins at {clock(rotation.at_s)}, when that of line {before.line} is not over"
                self.faults.append((rotation.line, f"{message} (until {clock(before.ends_s)})"))


_METERS = "select = { meters = 60 }"
_SELECTORS: dict[type[Table], str] = {
    ConductorEvent: 'select = { customers = [5, 50] } or select = { id = "…" }',
    OutageEvent: 'select = { customers = [50, 200] } or select = { id = "…" }',
    UplinkLossEvent: f"{_METERS} or select = {{ collectors = 1 }}",
    RebootEvent: _METERS,
    CollectorFailureEvent: "select = { collectors = 1 }",
    RadioEvent: "select = { collectors = 1 }, { radius_m = 150 } or { cells = 1 }",
    RelayEvent: f'{_METERS} or select = {{ serials = ["…"] }}',
}
_MESSAGES = {
    "missing": "{key!r} is missing",
    "string_type": "{key!r} must be a text, not {given}",
    "int_type": "{key!r} must be a whole number, not {given}",
    "dict_type": "{key!r} is {given}; write {{ rl-dsp = 0.3, sdm630 = 0.7 }}",
    "list_type": "{key!r} must be a list, not {given}",
    "string_pattern_mismatch": "{key!r} is {given}; letters, digits, '.', '_' and '-' are allowed, 64 at most",
    "too_short": "{key!r} is {given}; a range takes two numbers, the least and the most, and a list at least one entry",
    "too_long": "{key!r} is {given}; it takes two numbers, the least and the most",
    "string_too_short": "{key!r} must not be empty",
}


def _message(detail: ErrorDetails, location: tuple[str | int, ...], model: type[Table]) -> str:
    key = next((part for part in reversed(location) if isinstance(part, str)), "")
    given = shown(detail["input"])
    if model is NetworkChoice and len(location) > 1:
        known = known_parameters(str(location[0]))
        if key not in known:
            return f"{key!r} is unknown; there are {', '.join(known)}.{_suggestion(key, known)}"
        return f"{key!r} is {given}: {detail['msg'][:1].lower()}{detail['msg'][1:]}"
    if detail["type"] == "extra_forbidden" and len(location) > 1:
        return f"{key!r} does not belong here; write {_SELECTORS[model]}"
    if detail["type"] == "extra_forbidden":
        known = [field.alias or name for name, field in model.model_fields.items() if name != "line"]
        return f"{key!r} is unknown; there are {', '.join(known)}.{_suggestion(key, known)}"
    if detail["type"] == "value_error":
        return f"{key!r}: {detail['ctx']['error']}"
    if detail["type"] == "model_type":
        return f"{key!r} is {given}; write {_SELECTORS[model]}"
    if detail["type"] in _MESSAGES:
        return _MESSAGES[detail["type"]].format(key=key, given=given)
    return f"{key!r} is {given}: {detail['msg'][:1].lower()}{detail['msg'][1:]}"


def _leaves(table: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """Each value of a nested table with the path to it: `reads.success_rate = 1` may be written without quotes, too."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*above, name))
        else:
            yield (*above, name), value


def _suggestion(given: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(given[:100], list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
