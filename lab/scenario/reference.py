"""The reference of scenario files and their schema for editors, made of the models that validate them.

`python -m lab.scenario.reference` writes docs/scenarios.md and docs/scenario.schema.json of this checkout anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lab.scenario.events import EVENT_KINDS
from lab.scenario.model import ScenarioFile
from lab.scenario.network import PARAMETERS
from lab.verdict.criteria import CRITERIA

DOCS = Path(__file__).resolve().parents[2] / "docs"
REFERENCE = DOCS / "scenarios.md"
SCHEMA = DOCS / "scenario.schema.json"

_Schema = dict[str, Any]

_INTRODUCTION = """\
# Scenario files

A scenario is a TOML file that says what a run is to live through. `amilab run my.toml` runs it. The bundled scenarios
are examples, and [quickstart.toml](../lab/scenarios/quickstart.toml) is commented. A run reports every fault of a file
at once, with its line.

This page and [scenario.schema.json](scenario.schema.json) are made of the models that validate scenarios:
`python -m lab.scenario.reference` writes them anew.

**In an editor** with taplo (for instance Even Better TOML), the first line of a scenario names the schema. The path is
seen from the scenario:

```toml
#:schema ../docs/scenario.schema.json
```

## Values

| type | written | |
|---|---|---|
| duration | `"24h"`, `"45min"`, `"40s"`, `"1h30min"`, `"2d"` | longer than 0 s |
| interval | `"15min"`, `"1min"`, `"5s"` | a duration of at least 2 s that divides a day |
| offset | `"06:10:00"`, `"30:15"` | HH:MM or HH:MM:SS from the scenario's start, may exceed 24 h |
| instant | `2026-01-15T00:00:00Z` | with its offset from UTC, in whole seconds, from 2000 to 2100 |
| shares | `{ rl-dsp = 0.3, "file:acme.toml" = 0.7 }` | by vendor profile, each above 0; they sum to 1 |
| ratios | `{ "UP-17" = "200/5" }` | by usage point, primary by secondary, from 1 to 10,000 |

Texts stand in quotes. Unknown keys and tables are refused.
"""
_CRITERIA = """\
Optional. A scenario may ask for more than the built-in target, or be content with less. The comparison stays. Ids may
be quoted (`"reads.success_rate" = 0.95`) or not.

| key | built-in target | what is counted | source of the target |
|---|---|---|---|
"""


def schema() -> _Schema:
    """JSON schema (draft 2020-12) of a scenario's file. TOML has no null: what may be left out is not required."""
    found: _Schema = _without_null(ScenarioFile.model_json_schema(by_alias=True))
    found["properties"]["criteria"] |= _criteria_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | found


def reference() -> str:
    """The page docs/scenarios.md."""
    return "\n".join(_lines(schema()))


def main() -> None:
    """Writes both."""
    if not DOCS.is_dir():
        raise SystemExit("amilab is installed without its docs/: run this in a checkout")
    REFERENCE.write_text(reference(), encoding="utf-8")
    SCHEMA.write_text(schema_text(), encoding="utf-8")


def schema_text() -> str:
    """The file docs/scenario.schema.json."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def _without_null(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_null(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: _without_null(item) for key, item in value.items() if not (key == "default" and item is None)}
    some = [option for option in kept.get("anyOf", []) if option != {"type": "null"}]
    if len(some) == 1:
        del kept["anyOf"]
        return kept | some[0]
    return kept


def _criteria_schema() -> _Schema:
    """Of the ids in quotes, and of the same as keys of tables: `reads.lost = 1` without quotes is a table `reads`."""
    properties: _Schema = {}
    for criterion in CRITERIA:
        target = {"type": "number", "description": f"{criterion.meaning}; built in: {criterion.target_text}"}
        properties[criterion.id] = target
        group, name = criterion.id.split(".")
        table = properties.setdefault(group, {"type": "object", "additionalProperties": False, "properties": {}})
        table["properties"][name] = target
    return {"additionalProperties": False, "properties": properties}


def _lines(document: _Schema) -> Iterator[str]:
    models = document["$defs"]
    yield _INTRODUCTION
    for name in ("scenario", "feeder", "fleet", "network"):
        model = _model(document["properties"][name], models)
        yield f"## [{name}]\n"
        yield from _prose(model)
        yield from _keys(model, models)
    yield "## [[event]]\n"
    yield f"Optional. {document['properties']['event']['description']} Its `kind` says which other keys it has.\n"
    for kind, events in EVENT_KINDS.items():
        yield f'### kind = "{kind}"\n'
        for number, event in enumerate(events):
            if number:
                yield "Or, by its `fault`:\n"
            model = models[event.__name__]
            yield from _prose(model)
            yield from _keys(model, models)
    yield "## [criteria]\n"
    yield _CRITERIA + "\n".join(
        f"| `{item.id}` | {item.target_text} | {item.meaning} | {item.source} |" for item in CRITERIA
    )
    yield ""


def _model(value: Mapping[str, Any], models: _Schema) -> _Schema:
    found: _Schema = models[value["$ref"].rpartition("/")[2]]
    return found


def _prose(model: _Schema) -> Iterator[str]:
    yield from (" ".join(paragraph.split()) + "\n" for paragraph in model["description"].split("\n\n"))


def _keys(model: _Schema, models: _Schema) -> Iterator[str]:
    yield "| key | type | default | meaning |\n|---|---|---|---|"
    for key, value in model["properties"].items():
        if key == "kind":
            continue
        yield f"| `{key}` | {_type(value, models)} | {_default(key, value, model)} | {_meaning(value, models)} |"
    yield ""


def _default(key: str, value: _Schema, model: _Schema) -> str:
    if key in model.get("required", []):
        return "required"
    return f"`{json.dumps(value['default'])}`" if "default" in value else "optional"


def _options(value: _Schema, models: _Schema) -> list[_Schema]:
    """The tables that the value may be; none if it is no table."""
    if value.get("title") == PARAMETERS:
        return []
    return [_model(one, models) for one in value.get("oneOf", [value]) if "$ref" in one]


def _meaning(value: _Schema, models: _Schema) -> str:
    said = [value["description"]]
    for table in _options(value, models):
        keys = ", ".join(f"`{key}`: {one['description']}" for key, one in table["properties"].items())
        said.append(f"{table['description']} {keys}")
    return "<br>".join(said)


def _type(value: _Schema, models: _Schema) -> str:
    tables = _options(value, models)
    if tables:
        return " or ".join(
            "`{ " + ", ".join(f"{key} = {_example(one)}" for key, one in table["properties"].items()) + " }`"
            for table in tables
        )
    if value.get("title") == PARAMETERS:
        return "[parameters](communications-network.md)"
    if "enum" in value:
        return ", ".join(f'`"{one}"`' for one in value["enum"])
    if value.get("title") in ("duration", "interval", "offset", "instant", "shares", "ratios"):
        return f"[{value['title']}](#values)"
    words: str = {"integer": "whole number", "number": "number", "string": "text"}[value["type"]]
    return f"{words}{_limits(value)}"


def _example(value: _Schema) -> str:
    if value["type"] == "array":
        return '["…"]' if value["items"]["type"] == "string" else "[10, 60]"
    return {"string": '"…"', "integer": "1"}[value["type"]]


def _limits(value: _Schema) -> str:
    bounds = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
    said = [f"{sign} {value[bound]:,g}" for bound, sign in bounds if bound in value and value[bound] < 2**53]
    return f", {', '.join(said)}" if said else ""


if __name__ == "__main__":
    main()
