"""How what others said is shown. Every image of the lab has this file (compose/images)."""

from __future__ import annotations


def printable(text: str) -> str:
    """As a terminal may be told it: what is not ours to word writes no escape sequences to it."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in text)


def printable_line(text: str) -> str:
    """The same of a name: it begins no line of its own, which would look like ours."""
    return printable(text).replace("\n", "\N{REPLACEMENT CHARACTER}")
