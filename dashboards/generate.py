"""The files that Grafana is provisioned with, below dashboards/generated/: Compose mounts them as they are."""

import json
from pathlib import Path
from typing import Any

from dashboards.alert_json import provisioning_file
from dashboards.catalogue import DASHBOARDS
from dashboards.grafana import HOUSEHOLDS_SOURCE, SOURCE, grafana_json

DIRECTORY = Path(__file__).parent / "generated"
_PLACES = {SOURCE: "network", HOUSEHOLDS_SOURCE: "households"}
"""A directory for each of Grafana's folders."""


def files() -> dict[str, str]:
    """Their text by name. A dashboard lies in the directory of its folder, so Grafana puts it there."""
    found: dict[str, Any] = {"alerting/rules.json": provisioning_file()}
    for dashboard in DASHBOARDS:
        place = _PLACES[HOUSEHOLDS_SOURCE if dashboard.households else SOURCE]
        found[f"{place}/{dashboard.key}.json"] = grafana_json(dashboard)
    return {name: json.dumps(content, indent=1, ensure_ascii=False) + "\n" for name, content in found.items()}


def outdated(directory: Path = DIRECTORY) -> list[str]:
    """Files that are not as they would be written, and those that would not be written at all."""
    wanted = files()
    there = {str(path.relative_to(directory)) for path in directory.rglob("*.json")} if directory.is_dir() else set()
    return sorted(
        name
        for name in there | wanted.keys()
        if name not in wanted or name not in there or (directory / name).read_text(encoding="utf-8") != wanted[name]
    )


def write(directory: Path = DIRECTORY) -> list[str]:
    """Write what is outdated, remove what is no more; returns the names. Raises OSError."""
    wanted, changed = files(), outdated(directory)
    for name in changed:
        path = directory / name
        if name in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[name], encoding="utf-8")
        else:
            path.unlink()
    return changed
