"""Whose breaker was open, and when, from truth_disconnections.json: disconnected by a meter's relay, and no outage.

The file is a JSON list of `{"usage_point", "from", "to"}`: ISO 8601 with offset, `to` null if it was open to the end.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, RootModel, ValidationError

from lab.verdict.tables import TableError

DISCONNECTIONS_FILE = "truth_disconnections.json"


class _Entry(BaseModel):
    model_config = ConfigDict(extra="ignore")
    usage_point: str
    begin: AwareDatetime = Field(alias="from")
    end: AwareDatetime | None = Field(alias="to")


class _File(RootModel[list[_Entry]]):
    pass


def read_disconnections(run_dir: Path) -> Mapping[str, list[tuple[float, float]]]:
    """Spans [epoch s] by usage point; infinite where they last. None for runs from before there were any.

    Raises:
        TableError: the file is not what the module's header says.
    """
    path = run_dir / DISCONNECTIONS_FILE
    if not path.exists():
        return {}
    try:
        entries = _File.model_validate(json.loads(path.read_text(encoding="utf-8"))).root
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, ValidationError) as error:
        raise TableError([f"disconnections: {path} cannot be read: {error}"]) from error
    spans: dict[str, list[tuple[float, float]]] = {}
    for entry in entries:
        until_s = float("inf") if entry.end is None else entry.end.timestamp()
        spans.setdefault(entry.usage_point, []).append((entry.begin.timestamp(), until_s))
    return spans
