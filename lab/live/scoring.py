"""How a trainee's answers are scored against the truth. Pure.

Each answer earns a share of its question's points: all for what is right, some for what is near.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

LONGEST_ANSWER = 200
UNKNOWN = "-"
"""The answer of who does not know."""
NEAR = 0.5
"""The most that an answer can earn that is not right."""
_TOLERANCE = 0.05
"""Of a number; one more or less is always right."""


@dataclass(frozen=True, slots=True)
class Score:
    """`share` of the points, from 0 to 1, and what to say about it."""

    share: float
    remark: str


def score_device(answer: str, truth: str, reach: Mapping[str, frozenset[str]]) -> Score:
    """:param truth: the id in the network model, `transformer:T1`; `reach`: whom each device darkens, by such ids.

    :raises ValueError: there is no such device.
    """
    named = device_of(answer, reach)
    if named == truth:
        return Score(1.0, "right")
    ours, theirs = reach[named], reach.get(truth, frozenset())
    if ours == theirs:
        return Score(1.0, "right: it darkens the same customers, and meters cannot tell the two apart")
    common = len(ours & theirs) / len(ours | theirs)
    if not common:
        return Score(0.0, "none of its customers lost supply")
    return Score(NEAR * common, f"it shares {common:.0%} of the customers")


def score_number(answer: str, truth: int) -> Score:
    """:raises ValueError: it is no number."""
    off = abs(number_of(answer) - truth)
    if off <= max(1.0 if truth else 0.0, _TOLERANCE * truth):
        return Score(1.0, "right" if not off else "near enough")
    return Score(NEAR * max(0.0, 1.0 - off / truth) if truth else 0.0, f"off by {off:,}")


def score_words(answer: str, truth: str) -> Score:
    """A choice or a name; case and blanks make no difference."""
    return Score(1.0, "right") if same_words(answer, truth) else Score(0.0, "wrong")


def device_of(answer: str, reach: Mapping[str, frozenset[str]]) -> str:
    """The device of these words: its id in the network model, or that with a blank, or without its kind.

    :raises ValueError: there is none, or more than one.
    """
    words = re.sub(r"\s+", " ", answer.strip())
    by_words = {device.casefold(): device for device in reach}
    found = by_words.get(words.casefold()) or by_words.get(words.replace(" ", ":", 1).casefold())
    if found is not None:
        return found
    same = [device for device in reach if device.partition(":")[2].casefold() == words.casefold()]
    if not same:
        raise ValueError(f"there is no device {shown(words)}; write it like transformer T1 or section T1-S02")
    if len(same) > 1:
        raise ValueError(f"{shown(words)} may be {' or '.join(each.replace(':', ' ') for each in same)}")
    return same[0]


def number_of(answer: str, most: int | None = None) -> int:
    """A whole number, thousands parted by commas or not, from 0 to `most`. :raises ValueError: it is none."""
    digits = answer.strip().replace(",", "")
    if not (digits.isascii() and digits.isdecimal()):
        raise ValueError(f"{shown(answer)} is no whole number")
    if most is not None and int(digits) > most:
        raise ValueError(f"{shown(answer)} is more than there are: {most:,}")
    return int(digits)


def same_words(one: str, other: str) -> bool:
    """Whether they are the same but for case and blanks."""
    return " ".join(one.casefold().split()) == " ".join(other.casefold().split())


def shown(answer: str) -> str:
    """Short enough for a sentence."""
    return repr(answer if len(answer) <= 40 else answer[:39] + "…")
