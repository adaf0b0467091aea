"""The house stays one in which one finds one's way: how long files and functions are, and that named files exist.

import-linter holds who may import whom (pyproject.toml); ruff and mypy hold the rest.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MEASURED = ("grid", "meters", "headend", "dashboards", "lab", "loadtests", "bench")
MOST_LINES = {"module": 400, "function": 60}
MOST_METHODS = 15
"""Properties are not counted."""
LARGER = {
    "dashboards/catalogue.py": "a list, no code: a few lines for each panel of six dashboards",
    "meters/device/memory.py:Memory": "a method for each kind of thing that is kept",
    "lab/run/stage.py:Stage": "the list of all that can be done to the parts of a lab; most is abstract or a line",
    "lab/run/local_stage.py:LocalStage": "does what Stage lists, with processes",
    "lab/containers/stage.py:ContainerStage": "does what Stage lists, with containers",
    "lab/containers/project.py:ComposeProject": "a method of a few lines for each verb of Docker Compose",
    "lab/containers/swarm.py:SwarmProject": "the same verbs, on a swarm",
    "lab/live/session.py:Session": "what a run asks of its companion, and what the page asks of a lab",
    "lab/lockstep/link.py:LabLink": "calls and their answers share one socket and one table of who waits",
    "headend/links/sparkplug/link.py:SparkplugLink": "does what Link lists, and hands on in order what is heard",
    "meters/carriers/connection.py": "one connection: its class has the calls of the client library, and of the shard",
    "meters/carriers/connection.py:Connection": "the calls of the client library and of the shard, on one state",
    "meters/carriers/sparkplug/edge.py:Edge": "a method of a few lines for each message of an edge node",
    "meters/fleet/collected.py": "does what Carrier lists, through collectors, whose life it follows",
    "meters/fleet/collected.py:Collected": "does what Carrier lists, through collectors",
    "meters/fleet/over_the_air.py:OverTheAir": "does what LastMile lists, through a communications network",
    "meters/fleet/direct.py:Direct": "does what Carrier lists, with a connection a meter",
    "meters/fleet/polled.py:Polled": "does what Carrier lists, behind gateways",
    "meters/fleet/parts.py:Carrier": "the list of what a shard asks of its carrier; all of it is abstract",
    "meters/fleet/fleet.py:Fleet": "what the lab asks of a fleet, handed on to its shards in a line or two",
    "meters/fleet/cell_lines.py:CellLines": "what a direct carrier asks of its modems, on one queue of frames",
    "meters/fleet/crossing.py:Crossing": "both ways through medium and backhaul, on one queue of what is under way",
    "meters/fleet/last_mile.py:AtOnce": "does what LastMile lists, at once",
    "meters/fleet/collectors.py:Collectors": "the whole life of collectors as devices, on one table",
    "meters/radio/plc.py:PowerLine": "what a mesh can be asked, too, and how a concentrator polls",
    "meters/fleet/network.py:Network": "what a shard asks of all its connections at once",
    "meters/fleet/recording.py:Recording": "what a shard asks of meters that keep a load profile",
    "lab/processes/supervisor.py:Supervisor": "start, run, kill, stop, wait and logs of one table of processes",
}
"""What may be larger, and why. Whoever makes one small again takes it out."""


@cache
def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def modules(*packages: str) -> list[str]:
    return [name for name in tracked() if name.endswith(".py") and name.split("/")[0] in packages]


def oversized(name: str) -> Iterator[str]:
    """`path` of a module, `path:Name` of a function or class."""
    text = (ROOT / name).read_text(encoding="utf-8")
    if text.count("\n") > MOST_LINES["module"]:
        yield name
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            if node.end_lineno - node.lineno + 1 > MOST_LINES["function"]:
                yield f"{name}:{node.name}"
        elif isinstance(node, ast.ClassDef):
            functions = [each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
            if sum(not _is_property(each) for each in functions) > MOST_METHODS:
                yield f"{name}:{node.name}"


def _is_property(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(isinstance(each, ast.Name) and each.id.endswith("property") for each in function.decorator_list)


def test_files_functions_and_classes_are_small_or_have_a_reason() -> None:
    large = {found for name in modules(*MEASURED) for found in oversized(name)}
    assert sorted(large - LARGER.keys()) == [], "part it, or give LARGER a reason that you would defend"
    assert sorted(LARGER.keys() - large) == [], "no larger than others any more: take it out of LARGER"


def test_the_readme_is_read_in_a_few_minutes() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150, "figures, feeders and options have pages of their own (docs/README.md)"


NAMED = re.compile(r"(?<![\w/.{}-])((?:[\w-]+/)+[\w.-]+\.(?:py|md|toml|sql|c|h|js|html|sh|yaml|lock))\b(?![\w*{])")
DOTTED = re.compile(
    r"(?<![\w/.])((?:grid|meters|headend|dashboards|lab|loadtests|bench)(?:\.[a-z_][a-z0-9_]*)+)\b"
    r"(?<!\.md)(?<!\.parquet)"
)


def said(name: str) -> Iterator[str]:
    """Comments and docstrings of a module."""
    text = (ROOT / name).read_text(encoding="utf-8")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.string
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value


def absent(name: str) -> list[str]:
    """Files of ours that a module names and that are not there: by a path or its end, or as module.name."""
    missing = []
    for text in said(name):
        missing += [path for path in NAMED.findall(text) if path not in ends_of_paths()]
        missing += [dotted for dotted in DOTTED.findall(text) if not _is_there(dotted.split("."))]
    return missing


@cache
def ends_of_paths() -> frozenset[str]:
    """Each path, and what is left of it without its first folders."""
    split = (name.split("/") for name in tracked())
    return frozenset("/".join(parts[at:]) for parts in split for at in range(len(parts)))


def _is_there(parts: list[str]) -> bool:
    """The last part or two may be what the module defines."""
    return any(_is_module(parts[:length]) for length in range(max(1, len(parts) - 2), len(parts) + 1))


def _is_module(parts: list[str]) -> bool:
    place = ROOT.joinpath(*parts)
    return place.with_suffix(".py").is_file() or (place.is_dir() and len(parts) > 1)


@pytest.mark.parametrize("package", ["grid", "meters", "headend", "dashboards", "lab", "loadtests", "bench", "tests"])
def test_comments_and_docstrings_name_files_that_exist(package: str) -> None:
    wrong = {name: missing for name in modules(package) if (missing := absent(name))}
    assert wrong == {}
