"""The committed reference of scenario files and its schema are what the models say, and hold for what is bundled."""

import re
import tomllib
from collections.abc import Iterator
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import pytest

from lab.scenario.load import bundled_scenarios, load_scenario, parse_scenario
from lab.scenario.model import ScenarioFile
from lab.scenario.reference import REFERENCE, SCHEMA, reference, schema, schema_text
from lab.verdict.criteria import CRITERIA
from tests.docs.pages import PAGES

BUNDLED = Path(__file__).parents[2] / "lab" / "scenarios"
_ANEW = "run python -m lab.scenario.reference"
_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
}
_ANNOTATIONS = {"$schema", "$defs", "title", "description", "default", "discriminator", "format"}


def read(name: str) -> dict[str, Any]:
    return tomllib.loads((BUNDLED / f"{name}.toml").read_text(encoding="utf-8"))


def faults(value: Any, rule: dict[str, Any], models: dict[str, Any], at: str = "") -> Iterator[str]:
    """Why `value` does not fit, by those keywords of JSON schema that the schema uses; any other is an error."""
    if isinstance(value, datetime | date | time):  # as editors do
        value = value.isoformat()
    for keyword, bound in sorted(rule.items(), key=lambda item: item[0] != "type"):
        match keyword:
            case "$ref":
                yield from faults(value, models[bound.rpartition("/")[2]], models, at)
            case "type" if not isinstance(value, _TYPES[bound]) or isinstance(value, bool):
                yield f"{at} is no {bound}"
                return
            case "const" if value != bound:
                yield f"{at} is not {bound}"
            case "enum" if value not in bound:
                yield f"{at} is none of {bound}"
            case "pattern" if not re.search(bound, value):
                yield f"{at} does not match {bound}"
            case "required":
                yield from (f"{at}.{key} is missing" for key in bound if key not in value)
            case "properties":
                for key in value.keys() & bound.keys():
                    yield from faults(value[key], bound[key], models, f"{at}.{key}")
            case "additionalProperties" if isinstance(bound, dict):
                for key in value.keys() - rule.get("properties", {}).keys():
                    yield from faults(value[key], bound, models, f"{at}.{key}")
            case "additionalProperties":
                yield from (f"{at}.{key} is unknown" for key in value.keys() - rule["properties"].keys())
            case "items":
                for index, item in enumerate(value):
                    yield from faults(item, bound, models, f"{at}[{index}]")
            case "oneOf":
                tried = [list(faults(value, one, models, at)) for one in bound]
                if sum(not found for found in tried) != 1:
                    yield from min(tried, key=len) or [f"{at} is several"]
            case "anyOf":
                tried = [list(faults(value, one, models, at)) for one in bound]
                if all(tried):
                    yield from min(tried, key=len)
            case "not" if not list(faults(value, bound, models, at)):
                yield f"{at} has what it must not have"
            case "minimum" if value < bound:
                yield f"{at} is less than {bound}"
            case "maximum" if value > bound:
                yield f"{at} is more than {bound}"
            case "exclusiveMinimum" if value <= bound:
                yield f"{at} is not more than {bound}"
            case "exclusiveMaximum" if value >= bound:
                yield f"{at} is not less than {bound}"
            case "minLength" | "minItems" | "minProperties" if len(value) < bound:
                yield f"{at} is too short"
            case "maxItems" if len(value) > bound:
                yield f"{at} is too long"
            case _:
                known = {"type", "const", "enum", "pattern", "not", "minimum", "maximum", "exclusiveMinimum"}
                known |= {"exclusiveMaximum", "minLength", "minItems", "maxItems", "minProperties"}
                assert keyword in known | _ANNOTATIONS, f"the schema uses {keyword!r}, which this test does not know"


def faults_of(document: dict[str, Any]) -> list[str]:
    found = schema()
    return list(faults(document, found, found["$defs"]))


def test_the_committed_reference_is_what_the_models_say() -> None:
    assert REFERENCE.read_text(encoding="utf-8") == reference(), _ANEW


def test_the_committed_schema_is_what_the_models_say() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == schema_text(), _ANEW


@pytest.mark.parametrize("name", bundled_scenarios())
def test_a_bundled_scenario_fits_schema_and_models(name: str) -> None:
    assert faults_of(read(name)) == []
    ScenarioFile.model_validate(read(name))
    load_scenario(name, known_criteria=[criterion.id for criterion in CRITERIA])


@pytest.mark.parametrize("name", bundled_scenarios())
def test_each_key_of_a_bundled_scenario_is_in_the_reference(name: str) -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    sections = {
        heading.strip(): body
        for heading, body in (part.split("\n", 1) for part in re.split(r"^##+ ", text, flags=re.M))
    }
    document = read(name)
    tables = [
        (f"[{table}]", document[table]) for table in ("scenario", "feeder", "fleet", "criteria") if table in document
    ]
    tables += [(f'kind = "{event["kind"]}"', event) for event in document.get("event", [])]
    missing = [(heading, key) for heading, keys in tables for key in keys if f"| `{key}` |" not in sections[heading]]
    assert [one for one in missing if one[1] != "kind"] == []


def test_every_key_has_a_sentence() -> None:
    models = schema()["$defs"]
    silent = [
        f"{name}.{key}"
        for name, model in models.items()
        for key, value in model["properties"].items()
        if key != "kind" and not value.get("description", "").endswith(".")
    ]
    assert silent == []


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("scenario", "duration", "24 hours"),
        ("scenario", "duration", 24),
        ("scenario", "seed", -1),
        ("scenario", "sede", 7),
        ("fleet", "preset", "bakeof"),
        ("fleet", "shares", {"rl-dsp": 1.5}),
        ("fleet", "shares", {}),
        ("fleet", "profile", "rl-dsp"),
        ("fleet", "meters", 0),
        ("criteria", "reads.succes_rate", 1),
        ("criteria", "reads", {"lots": 1}),
        ("event", "at", "6 o'clock"),
        ("event", "kind", "earthquake"),
        ("event", "select", {"customers": [5]}),
    ],
)
def test_an_editor_sees_what_a_run_would_refuse(table: str, key: str, value: object) -> None:
    document = read("quickstart")
    document.setdefault("criteria", {})
    changed = document["event"][1] if table == "event" else document[table]
    changed[key] = value
    assert faults_of(document) != []


@pytest.mark.parametrize("written", ["24h", "45min", "1h30min", "2d", "1 h 30 min", "90s"])
def test_durations_that_run_are_right_in_an_editor(written: str) -> None:
    document = read("quickstart")
    document["scenario"]["duration"] = written
    assert faults_of(document) == []


def test_a_scenario_that_a_page_shows_runs() -> None:
    # One page brings a vendor of its own, and is followed as a whole (tests/docs/test_add_a_meter.py).
    pages = [page for page in PAGES if page.name != "add-a-meter.md"]
    blocks = [block for page in pages for block in re.findall(r"^```toml\n(.*?)^```", page.read_text(), re.M | re.S)]
    shown = [block for block in blocks if "[scenario]" in block]
    assert shown
    for block in shown:
        assert faults_of(tomllib.loads(block)) == []
        parse_scenario(block, "a page")
