"""The committed table of the network's parameters is what parameters.toml says."""

from importlib import import_module

from meters.radio.parameters import fixed, stated
from meters.radio.reference import PAGE, page


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
