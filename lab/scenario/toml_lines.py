"""Where in a TOML document each table and key stands; `tomllib` reads values but keeps no positions.

Meant for text that `tomllib` has already accepted, so this needs to find the ends of values, not to check them. Tables
and keys are named by the path to them: `("event", 1, "select", "meters")`, with the index for an array of tables. Keys
inside an inline table have the line on which its own key stands.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence

Path = tuple[str | int, ...]


class LineIndex:
    """Line numbers, from 1, of the tables and keys of a valid TOML document."""

    def __init__(self, text: str) -> None:
        self._lines: dict[Path, int] = {}
        self._counts: dict[tuple[str, ...], int] = {}
        table: Path = ()
        for line, kind, names in _expressions(text):
            if kind == "key":
                self._note((*table, *names), line)
                continue
            if kind == "array":
                self._counts[names] = self._counts.get(names, -1) + 1
            table = self._located(names)
            self._note(table, line)

    def line(self, path: Sequence[str | int]) -> int:
        """The line of `path`, or else of the nearest table around it; 1 for the document."""
        for length in range(len(path), 0, -1):
            if (found := self._lines.get(tuple(path[:length]))) is not None:
                return found
        return 1

    def _located(self, names: tuple[str, ...]) -> Path:
        """The path of a table header: behind the name of an array of tables stands its current index."""
        path: list[str | int] = []
        for length, name in enumerate(names, start=1):
            path.append(name)
            if names[:length] in self._counts:
                path.append(self._counts[names[:length]])
        return tuple(path)

    def _note(self, path: Path, line: int) -> None:
        for length in range(1, len(path) + 1):
            self._lines.setdefault(path[:length], line)


def _expressions(text: str) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """(line, "table" | "array" | "key", names) of each header and each key outside inline tables."""
    at = 0
    while at < len(text):
        character = text[at]
        if character in " \t\r\n":
            at += 1
        elif character == "#":
            at = _end_of_line(text, at)
        elif character == "[":
            kind = "array" if text.startswith("[[", at) else "table"
            opening = at + (2 if kind == "array" else 1)
            end = _find(text, opening, "]")
            yield _line_of(text, at), kind, _names(text[opening:end])
            at = _end_of_line(text, end)
        else:
            end = _find(text, at, "=")
            yield _line_of(text, at), "key", _names(text[at:end])
            at = _end_of_value(text, end + 1)


def _names(dotted: str) -> tuple[str, ...]:
    """The parts of a dotted key, with quotes and escapes resolved."""
    names: list[str] = []
    level: object = tomllib.loads(f"{dotted.strip()} = 0")
    while isinstance(level, dict):
        ((name, level),) = level.items()
        names.append(name)
    return tuple(names)


def _end_of_value(text: str, at: int) -> int:
    depth = 0
    while at < len(text):
        character = text[at]
        if character in "\"'":
            at = _end_of_string(text, at)
            continue
        if character == "#":
            at = _end_of_line(text, at)
            continue
        if character == "\n" and depth == 0:
            return at
        depth += (character in "[{") - (character in "]}")
        at += 1
    return at


def _end_of_string(text: str, at: int) -> int:
    quote = text[at]
    if not text.startswith(quote * 3, at):
        closing = quote
        at += 1
    else:
        closing = quote * 3
        at += 3
    while at < len(text):
        if text[at] == "\\" and quote == '"':
            at += 2
        elif text.startswith(closing, at):
            at += len(closing)
            # Up to two quotes may stand directly before the three that close a multi-line string.
            while len(closing) == 3 and at < len(text) and text[at] == quote:
                at += 1
            return at
        else:
            at += 1
    return at


def _find(text: str, at: int, wanted: str) -> int:
    while at < len(text) and text[at] != wanted:
        at = _end_of_string(text, at) if text[at] in "\"'" else at + 1
    return at


def _end_of_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _line_of(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1
