"""What goes over the lab link, in bytes. Nothing that a part sends is believed to have the right form.

A call is ``[JSON {id, op, body}, blob, …]`` and its answer ``[JSON {id, body}, blob, …]``, or ``[JSON {id, faults,
hint}]``, or ``[JSON {id, not_begun}]``. A part's first message is ``[hello, JSON {name, run, host}]``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from lab.wording import printable

HELLO = b"hello"
MOST_BYTES = 32 << 20
"""Of one frame. The largest is the geography of a feeder: 2 MB for 12,000 usage points."""
_MOST_TEXT = 2_000
_MOST_FAULTS = 100

Body = dict[str, Any]


class BadFrame(ValueError):  # noqa: N818 - names what it is
    """A message that no part of ours sends, and why."""


@dataclass(frozen=True, slots=True)
class Hello:
    """`host`: the host name of the process; in a container, its id."""

    name: str
    run: str
    host: str


@dataclass(frozen=True, slots=True)
class Answer:
    """To the call `number`. With `faults` for the user it has no body; `not_begun`: the part was never begun."""

    number: int
    body: Body = field(default_factory=dict)
    blobs: Sequence[bytes] = ()
    faults: tuple[str, ...] = ()
    hint: str | None = None
    not_begun: bool = False


def hello_frames(hello: Hello) -> list[bytes]:
    return [HELLO, orjson.dumps({"name": hello.name, "run": hello.run, "host": hello.host})]


def answer_frames(answer: Answer) -> list[bytes]:
    head: Body = {"id": answer.number}
    if answer.not_begun:
        head["not_begun"] = True
    elif answer.faults:
        head |= {"faults": answer.faults, "hint": answer.hint}
    else:
        head["body"] = answer.body
    return [orjson.dumps(head), *answer.blobs]


def read_message(frames: Sequence[bytes]) -> Hello | Answer:
    """What a part says. Raises BadFrame."""
    if not frames:
        raise BadFrame("it is empty")
    if frames[0] == HELLO:
        if len(frames) != 2:
            raise BadFrame("a greeting has two frames")
        found = _object(frames[1])
        return Hello(*(_text(found, key) for key in ("name", "run", "host")))
    found = _object(frames[0])
    number = found.get("id")
    if type(number) is not int:
        raise BadFrame("its id is no number")
    if "not_begun" in found:
        return Answer(number, not_begun=True)
    if "faults" in found:
        return Answer(number, faults=_faults(found["faults"]), hint=_hint(found.get("hint")))
    body = found.get("body")
    if not isinstance(body, dict):
        raise BadFrame("it has no body")
    return Answer(number, body, tuple(frames[1:]))


def _object(frame: bytes) -> Mapping[str, Any]:
    try:
        found = orjson.loads(frame)
    except orjson.JSONDecodeError as error:
        raise BadFrame("it is no JSON") from error
    if not isinstance(found, dict):
        raise BadFrame("it is no JSON object")
    return found


def _text(found: Mapping[str, Any], key: str) -> str:
    value = found.get(key)
    if not isinstance(value, str) or not value or len(value) > _MOST_TEXT or not value.isprintable():
        raise BadFrame(f"its {key} is no text")
    return value


def _faults(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(fault, str) for fault in value):
        raise BadFrame("its faults are no texts")
    return tuple(printable(fault) for fault in value[:_MOST_FAULTS])


def _hint(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise BadFrame("its hint is no text")
    return None if value is None else printable(value)
