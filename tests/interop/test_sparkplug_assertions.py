"""The list of Sparkplug's assertions is whole, and what it names is there."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

from tests.interop.sparkplug_assertions import read_assertions, summary

ROOT = Path(__file__).parents[2]
IN_THE_SPECIFICATION = 303
THEIR_HASH = "bb8e255c886cb41c70fcc76debe26322f8a920e560bdad05a1062e8b84c329cc"
"""SHA-256 of the sorted names, a line each without an end of the last; of release 3.0.0."""


@cache
def functions_of(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_the_list_has_the_assertions_of_the_specification() -> None:
    names = sorted(assertion.name for assertion in read_assertions())
    assert len(names) == len(set(names)) == IN_THE_SPECIFICATION
    assert hashlib.sha256("\n".join(names).encode()).hexdigest() == THEIR_HASH


def test_each_has_tests_or_a_reason() -> None:
    neither = [
        assertion.name for assertion in read_assertions() if bool(assertion.tests) == bool(assertion.not_applicable)
    ]
    assert neither == []


def test_the_tests_are_there() -> None:
    for assertion in read_assertions():
        for test in assertion.tests:
            path, name = test.split("::")
            assert name.startswith("test_")
            assert name in functions_of(path), f"{assertion.name}: {test}"


def test_the_document_says_the_share() -> None:
    document = (ROOT / "docs/wire-sparkplug.md").read_text(encoding="utf-8")
    assert "\n".join(summary(read_assertions())) in document
