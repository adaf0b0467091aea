"""Answers against the truth."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.live.scoring import NEAR, score_device, score_number, score_words

REACH = {
    "transformer:T1": frozenset("abcdef"),
    "section:T1-S01": frozenset("abcd"),
    "line:L7": frozenset("abcd"),
    "section:T1-S02": frozenset("ef"),
    "section:T2-S01": frozenset("xyz"),
}


@pytest.mark.parametrize("answer", ["section:T1-S01", "section T1-S01", "T1-S01", "  SECTION   t1-s01 "])
def test_a_device_may_be_named_in_several_ways(answer: str) -> None:
    assert score_device(answer, "section:T1-S01", REACH).share == 1.0


def test_a_device_in_series_is_as_right() -> None:
    score = score_device("line L7", "section:T1-S01", REACH)
    assert score.share == 1.0
    assert "cannot tell" in score.remark


def test_a_device_above_or_below_earns_some_and_a_foreign_one_nothing() -> None:
    above = score_device("transformer T1", "section:T1-S01", REACH)
    assert above.share == pytest.approx(NEAR * 4 / 6)
    assert score_device("section T2-S01", "section:T1-S01", REACH).share == 0.0
    with pytest.raises(ValueError, match="there is no device 'the one by the church'"):
        score_device("the one by the church", "section:T1-S01", REACH)


@pytest.mark.parametrize(
    ("answer", "truth", "share"),
    [("100", 100, 1.0), ("1,004", 1000, 1.0), ("4", 5, 1.0), ("50", 100, NEAR / 2), ("0", 100, 0.0), ("0", 0, 1.0)],
)
def test_numbers(answer: str, truth: int, share: float) -> None:
    assert score_number(answer, truth).share == pytest.approx(share)


def test_nobody_dark_is_not_one_dark() -> None:
    assert score_number("1", 0).share == 0.0
    with pytest.raises(ValueError, match="'many' is no whole number"):
        score_number("many", 0)


def test_words_know_no_case() -> None:
    assert score_words(" A  Collector ", "a collector").share == 1.0
    assert score_words("a transformer", "a collector").share == 0.0


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=10**7))
def test_only_what_is_right_earns_all(answer: int, truth: int) -> None:
    share = score_number(str(answer), truth).share
    assert 0.0 <= share <= 1.0
    assert share <= NEAR or abs(answer - truth) <= max(1, 0.05 * truth)
