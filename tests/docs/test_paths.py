"""Every path of the repository that a page names is there."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, name

ROOMS = ("bench", "compose", "dashboards", "docs", "grid", "headend", "lab", "loadtests", "meters", "scripts", "tests")
MADE_LATER = {
    "compose/.env",
    "compose/certificates/*.crt",
    "compose/secrets/grafana_admin_password",
    "compose/state",
    "compose/wheelhouse/",
    "lab/link",
}
"""By `amilab compose init`, or in a run's private directory."""
TOPICS = {"lab/<group>/<serial>", "lab/<group>/DCMD/<edge>/_fence", "lab/"}
"""Of MQTT, that look like paths."""
_PATH = re.compile(rf"(?<![\w./:<>-])(?:{'|'.join(ROOMS)})/[\w./*<>{{}}-]*(?:\[-\])?")


def paths(text: str) -> set[str]:
    return {found.rstrip(".-") for found in _PATH.findall(text)}


def is_there(path: str) -> bool:
    """`<name>` stands for any name."""
    return any(ROOT.glob(re.sub(r"<[^>]*>", "*", path).rstrip("/")))


# What is no more may stand in the history of changes.
@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=name)
def test_every_path_that_is_named_is_there(page: Path) -> None:
    named = paths(page.read_text(encoding="utf-8")) - MADE_LATER - TOPICS
    assert sorted(path for path in named if not is_there(path)) == []


def test_a_path_is_found_in_text_code_and_diagrams() -> None:
    text = (
        "see grid/world.py. `lab/verdict/<name>.py`\n│ meters/fleet/shard.py │ (docs/live.md) https://x.y/docs/live.md"
    )
    assert paths(text) == {"grid/world.py", "lab/verdict/<name>.py", "meters/fleet/shard.py", "docs/live.md"}
    assert not is_there("grid/nowhere.py")
