"""Generic code knows no vendor: it neither imports one nor has its name (docs/drivers.md).

Vendors' folders, presets, scenarios and docs name them; so do comments, docstrings and examples in what people read.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from headend.drivers import driver_for
from headend.drivers import known_profiles as known_drivers
from meters.vendors.registry import known_profiles, load_profile

ROOT = Path(__file__).parents[1]
HOMES = ("meters/vendors", "headend/drivers")
GENERIC = ("grid", "meters", "headend", "lab", "loadtests", "dashboards")
OTHER_TEXTS = (".sql", ".c", ".h", ".js", ".html", ".css")
MAY_NAME = {"lab/fleet/presets.py"}


def vendors() -> set[str]:
    """The names of the folders, as modules and as profiles have them."""
    folders = {
        folder.name
        for home in HOMES
        for folder in (ROOT / home).iterdir()
        if any((folder / name).is_file() for name in ("__init__.py", "profile.toml", "driver.toml"))
    }
    assert folders, "there are vendors"
    return folders | {name.replace("_", "-") for name in folders}


def test_both_sides_of_a_vendor_state_the_same() -> None:
    shared = ("carrier", "keeps_load_profile", "reports_outages", "has_relay")
    for name in sorted({*known_drivers()} & {*known_profiles()}):
        driver, profile = driver_for(name).capabilities, load_profile(name).capabilities
        assert [getattr(driver, each) for each in shared] == [getattr(profile, each) for each in shared], name


NAME = re.compile("|".join(sorted(map(re.escape, vendors()), key=len, reverse=True)))


def generic_files() -> Iterator[Path]:
    for room in GENERIC:
        for path in sorted((ROOT / room).rglob("*")):
            # A folder in a vendors' home is a vendor's.
            is_vendors = any(path.is_relative_to(ROOT / home) and path.parent != ROOT / home for home in HOMES)
            if path.suffix in (".py", *OTHER_TEXTS) and not is_vendors:
                yield path


def named(source: str) -> list[str]:
    """Where code names a vendor: `line: what`. Prose and what documents it are not code."""
    found = []
    tree = ast.parse(source)
    documented = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    }
    for node in ast.walk(tree):
        said: list[str] = []
        if isinstance(node, ast.Import | ast.ImportFrom):
            said = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Name):
            said = [node.id]
        elif isinstance(node, ast.Attribute):
            said = [node.attr]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            said = [node.name]
        elif isinstance(node, ast.arg | ast.keyword):
            said = [node.arg or ""]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented:
            # A text with blanks is for people, unless it quotes the name for a database.
            said = [node.value] if " " not in node.value else re.findall("'([^']*)'", node.value)
        found += [f"{getattr(node, 'lineno', 0)}: {text}" for text in said if NAME.search(text)]
    return found


def offences(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return named(text)
    return [f"{number}: {line.strip()}" for number, line in enumerate(text.splitlines(), 1) if NAME.search(line)]


def test_no_generic_code_names_a_vendor() -> None:
    found = {str(path.relative_to(ROOT)): offences(path) for path in generic_files()}
    faults = {name: lines for name, lines in found.items() if lines and name not in MAY_NAME}
    assert not faults, "generic code asks for capabilities, whoever made the meter"


@pytest.mark.parametrize(
    "code",
    [
        "from headend.drivers.{module} import DRIVER",
        "import meters.vendors.{module}.wire",
        "from meters.vendors import {module}",
        "if profile.name == '{profile}': pass",
        "{module}_clock = 1",
        "def decode_{module}(): pass",
        "f(protocol='{profile}')",
        "f({module}=1)",
        "path = f'meters/vendors/{{x}}/{module}'",
        "sql = \"SELECT 1 FROM d WHERE vendor_profile = '{profile}'\"",
    ],
)
def test_the_guard_sees_each_way_to_name_one(code: str) -> None:
    module = next(name for name in sorted(vendors()) if "_" in name)
    assert named(code.format(module=module, profile=module.replace("_", "-")))


def test_the_guard_leaves_words_for_people_alone() -> None:
    module = next(name for name in sorted(vendors()) if "_" in name)
    profile = module.replace("_", "-")
    assert not named(f'"""As `{profile}` has it."""\n# {module}\nhelp = "shares, for instance {profile}=0.3"\n')
