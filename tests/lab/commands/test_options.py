"""Options that several commands have are the same everywhere; what is wrong with a command line is said all at once."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import typer

from lab.commands.faults import Faults
from lab.commands.main import app
from lab.errors import UserError

SHARED = ("seed", "feeder", "fleet", "out", "database_url", "broker_url", "keep", "compose", "network")


def options() -> dict[str, dict[str, tuple[object, ...]]]:
    """Shared options by name, then by command: how they are called, what is said of them, where else they come from."""
    group = typer.main.get_command(app)
    found: dict[str, dict[str, tuple[object, ...]]] = {name: {} for name in SHARED}
    for command in ("run", "up", "loadtest"):
        for parameter in getattr(group, "commands")[command].params:  # noqa: B009 - click's group, which typer hides
            if parameter.name in found:
                said = (tuple(parameter.opts), parameter.help, parameter.envvar, parameter.default)
                found[parameter.name][command] = said
    return found


@pytest.mark.parametrize("name", SHARED)
def test_an_option_is_the_same_in_every_command_that_has_it(name: str) -> None:
    by_command = options()[name]
    assert len(by_command) >= 2, "shared by nobody"
    assert len(set(by_command.values())) == 1, by_command


def test_all_that_is_wrong_is_said_at_once_and_once(tmp_path: Path) -> None:
    here = tmp_path / "file"
    here.write_text("")
    faults = Faults("run")
    assert faults.speed("max", least=1.0) is None
    assert faults.speed("2.5", least=1.0) == 2.5
    assert faults.speed("0.5", least=1.0) is None
    assert faults.parsed("--seed", int, None) is None
    assert faults.parsed("--seed", int, "7") == 7
    assert faults.parsed("--seed", int, "x") is None
    faults.check_fleet_and_out("rl-dsp=0.5", here)
    faults.check_fleet_and_out("rl-dsp=0.5", here)
    faults.refuse_beside("--compose", {"--database-url": None, "--broker-url": "mqtt://h"})
    with pytest.raises(UserError) as refused:
        faults.raise_any()
    said = refused.value.faults
    assert [text.split()[0] for text in said] == ["--speed", "--seed:", "--fleet:", "--out", "--broker-url"]
    assert refused.value.hint == "See `amilab run --help`."


def test_nothing_wrong_is_no_error() -> None:
    Faults("run").raise_any()


@pytest.mark.parametrize("text", ["0", "-1", "inf", "nan", "fast", ""])
def test_speeds_that_cannot_be(text: str) -> None:
    faults = Faults("up")
    assert faults.speed(text, least=0.0, above=True) is None
    with pytest.raises(UserError, match="must be 'max' or a number above 0"):
        faults.raise_any()


def test_a_hint_of_a_fault_is_worth_more_than_the_commands_help() -> None:
    faults = Faults("up")

    def fail() -> float:
        raise UserError("there is no such file", "Make it.")

    assert math.isnan(faults.tried(fail) or math.nan)
    with pytest.raises(UserError) as refused:
        faults.raise_any()
    assert refused.value.hint == "Make it."
