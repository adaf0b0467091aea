"""What is wrong with a command line is said all at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from lab.commands.secret_option import disclosed
from lab.errors import UserError
from lab.fleet.presets import parse_fleet

T = TypeVar("T")


class Faults:
    """Collects them. :param command: whose help is pointed at, where no fault brings a hint of its own."""

    def __init__(self, command: str) -> None:
        self._faults: list[str] = []
        self._hints: list[str] = []
        self._help = f"See `amilab {command} --help`."

    def add(self, *faults: str) -> None:
        self._faults += faults

    def tried(self, load: Callable[[], T]) -> T | None:
        """What `load` returns; None if the user has to put something right first."""
        try:
            return load()
        except UserError as error:
            self._faults += error.faults
            self._hints += [error.hint] if error.hint else []
            return None

    def parsed(self, option: str, parse: Callable[[str], T], text: str | None) -> T | None:
        """The value of an option that may be left out; None, too, if `parse` raises ValueError."""
        if text is None:
            return None
        try:
            return parse(text)
        except ValueError as error:
            self.add(f"{option}: {error}")
            return None

    def speed(self, text: str, *, least: float, above: bool = False) -> float | None:
        """None for `max`. :param above: `least` itself will not do."""
        if text == "max":
            return None
        words = f"it must be 'max' or a number {'above' if above else 'of at least'} {least:g}"
        try:
            speed = float(text)
        except ValueError:
            self.add(f"--speed is {text!r}; {words}")
            return None
        if not least <= speed < math.inf or (above and speed == least):
            self.add(f"--speed is {text}; {words}")
            return None
        return speed

    def secret(self, option: str, value: str | None) -> str | None:
        """The value of an option that may be `@FILE`."""
        return self.tried(lambda: disclosed(option, value))

    def check_fleet_and_out(self, fleet: str | None, out: Path) -> None:
        self.parsed("--fleet", parse_fleet, fleet)
        if out.exists() and not out.is_dir():
            self.add(f"--out is {out}, which is a file; it must be a directory")

    def refuse_beside(self, option: str, given: Mapping[str, object]) -> None:
        """:param given: other options, by name, that do not go with this one."""
        self.add(*(f"{other} does not go with {option}" for other, value in given.items() if value))

    def raise_any(self) -> None:
        """Raises UserError with all of them."""
        if self._faults:
            raise UserError(list(dict.fromkeys(self._faults)), "\n".join(dict.fromkeys(self._hints)) or self._help)
