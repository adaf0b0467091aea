"""How a trainee's answers are scored against the truth. Pure.

Each answer earns a share of its question's points: all for what is right, some for what is near.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

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
    """:param truth: the id in the network model, `transformer:T1`; `reach`: whom each device darkens, by such ids."""
    named = _device(answer, reach)
    if named is None:
        return Score(0.0, "there is no such device")
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
    """A whole number, thousands parted by commas or not."""
    try:
        number = int(answer.replace(",", "").strip())
    except ValueError:
        return Score(0.0, "not a number")
    off = abs(number - truth)
    if off <= max(1.0 if truth else 0.0, _TOLERANCE * truth):
        return Score(1.0, "right" if not off else "near enough")
    return Score(NEAR * max(0.0, 1.0 - off / truth) if truth else 0.0, f"off by {off:,}")


def score_words(answer: str, truth: str) -> Score:
    """A choice or a name; case and blanks make no difference."""
    same = " ".join(answer.casefold().split()) == " ".join(truth.casefold().split())
    return Score(1.0, "right") if same else Score(0.0, "wrong")


def _device(answer: str, reach: Mapping[str, frozenset[str]]) -> str | None:
    """The device of these words: its id in the network model, or that with a blank, or without its kind."""
    words = re.sub(r"\s+", " ", answer.strip())
    by_words = {device.casefold(): device for device in reach}
    found = by_words.get(words.casefold()) or by_words.get(words.replace(" ", ":", 1).casefold())
    if found is not None:
        return found
    same = [device for device in reach if device.partition(":")[2].casefold() == words.casefold()]
    return same[0] if len(same) == 1 else None
