"""The committed table of the network's parameters is what parameters.toml says."""

from importlib import import_module

from meters.radio.parameters import fixed, stated
from meters.radio.reference import PAGE, page
from meters.vendors.registry import load_profile


def test_that_the_page_has_every_parameter_as_it_is() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text, "run python -m meters.radio.reference"
    for entries in stated().values():
        for name, entry in entries.items():
            assert f"| `{name}` |" in text
            assert entry.source in text


def test_that_what_no_scenario_changes_is_what_the_modules_have() -> None:
    for name, entry in fixed().items():
        module, _, constant = name.rpartition(".")
        assert getattr(import_module(module), constant) == entry.value, name


def test_that_facts_of_devices_are_those_of_their_profiles() -> None:
    section = PAGE.read_text(encoding="utf-8").partition("## What devices bring\n")[2].partition("\n## ")[0]
    head, _, *rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]
    facts = [load_profile(name.strip("`")).facts for name in head[1:4]]
    assert len(rows) > 5
    for name, *shown, grade, why in rows:
        values = [getattr(each, name.strip("`"), None) for each in facts]
        assert shown == ["–" if value is None else f"{value:,.10g}" for value in values], name
        assert grade in ("V", "assumption")
        assert why
