"""Options that may hold a password come from variables and files as well, in every command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from lab.commands.main import app
from lab.commands.secret_option import disclosed
from lab.errors import UserError
from lab.processes.private_environment import VARIABLES
from lab.services.ports import ReservedPort

SECRET = "never-to-be-seen"
OPTION = "--database-url"


def test_what_is_no_file_is_the_value_itself() -> None:
    assert disclosed(OPTION, None) is None
    assert disclosed(OPTION, "postgresql://me@db/lab") == "postgresql://me@db/lab"


def test_a_file_says_the_value(tmp_path: Path) -> None:
    (tmp_path / "url").write_text(f"postgresql://me:{SECRET}@db/lab\n")
    assert disclosed(OPTION, f"@{tmp_path / 'url'}") == f"postgresql://me:{SECRET}@db/lab"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file"),
        (b" \n", "is empty"),
        (SECRET.encode() + b"\n" + SECRET.encode(), "more than one line"),
        (SECRET.encode() + b"\x00", "a control character"),
        (SECRET.encode() + b"\xff", "is no text in UTF-8"),
        (SECRET.encode() * 100_000, "is longer than 64 KiB"),
    ],
)
def test_files_that_are_no_value_are_refused_without_repeating_them(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    if content is not None:
        (tmp_path / "url").write_bytes(content)
    with pytest.raises(UserError) as refused:
        disclosed(OPTION, f"@{tmp_path / 'url'}")
    assert said in str(refused.value)
    assert OPTION in str(refused.value)
    assert SECRET not in str(refused.value)


def options() -> list[tuple[str, Any]]:
    """Of every command, by its name."""
    found: list[tuple[str, Any]] = []

    def visit(command: Any, name: str) -> None:
        found.extend((name, parameter) for parameter in command.params)
        for each in getattr(command, "commands", {}).values():
            visit(each, f"{name} {each.name}")

    visit(typer.main.get_command(app), "amilab")
    return found


HELD = ("database_url", "broker_url", "stored", "token", "password")
"""In the names of options that may hold a password."""
MAY_HOLD = [
    (command, option)
    for command, option in options()
    if any(word in (option.name or "") for word in HELD) and not getattr(option, "is_flag", False)
]


def test_there_are_such_options() -> None:
    assert {"amilab run", "amilab up", "amilab loadtest", "amilab db status"} <= {command for command, _ in MAY_HOLD}


@pytest.mark.parametrize(("command", "option"), MAY_HOLD, ids=lambda value: getattr(value, "name", value))
def test_every_option_that_may_hold_a_password_has_a_variable(command: str, option: Any) -> None:
    variables = [option.envvar] if isinstance(option.envvar, str) else list(option.envvar or ())
    assert variables, f"{command} takes {option.opts} from the command line only"
    assert set(variables) <= VARIABLES, "processes that the lab starts would be given it"


def refusal(*arguments: str, **environment: str) -> str:
    done = CliRunner().invoke(app, list(arguments), env=environment)
    assert done.exit_code == 2, done.output
    assert SECRET not in done.output
    return done.output


@pytest.mark.parametrize(
    "command",
    [["run", "quickstart"], ["up", "--port", "0"], ["loadtest", "plateau"], ["db", "status"], ["db", "maintain"]],
)
@pytest.mark.parametrize("by_file", [False, True])
def test_the_database_of_every_command_comes_from_a_variable_or_a_file(
    tmp_path: Path, command: list[str], by_file: bool
) -> None:
    with ReservedPort() as port:
        url = f"postgresql://me:{SECRET}@127.0.0.1:{port.port}/lab"
        (tmp_path / "url").write_text(url)
        out = [] if command[0] == "db" else ["--out", str(tmp_path / "runs")]
        if by_file:
            said = refusal(*command, *out, "--database-url", f"@{tmp_path / 'url'}")
        else:
            said = refusal(*command, *out, AMILAB_DATABASE_URL=url)
        assert str(port.port) in said
        assert "refused" in said


def test_the_broker_comes_from_a_variable(tmp_path: Path) -> None:
    with ReservedPort() as port:
        url = f"mqtt://me:{SECRET}@127.0.0.1:{port.port}"
        said = refusal("run", "rolling-update", "--out", str(tmp_path / "runs"), AMILAB_BROKER_URL=url)
        assert f"cannot connect to the broker at 127.0.0.1:{port.port}" in said


def test_what_is_stored_comes_from_a_file(tmp_path: Path) -> None:
    with ReservedPort() as port:
        (tmp_path / "stored").write_text(f"postgresql://me:{SECRET}@127.0.0.1:{port.port}/ami?query=SELECT%201")
        arguments = ["run", "acceptance", "--speed", "1", "--headend", "external", "--out", str(tmp_path / "runs")]
        said = refusal(*arguments, "--stored", f"@{tmp_path / 'stored'}")
        assert f"nothing listens at 127.0.0.1:{port.port}" in said
        assert f"nothing listens at 127.0.0.1:{port.port}" in refusal(
            *arguments, AMILAB_STORED=(tmp_path / "stored").read_text()
        )


def test_a_file_that_is_missing_is_one_fault_among_others(tmp_path: Path) -> None:
    said = refusal("run", "quickstart", "--speed", "fast", "--database-url", f"@{tmp_path / 'missing'}")
    assert "--speed is 'fast'" in said
    assert "cannot be read: No such file" in said
