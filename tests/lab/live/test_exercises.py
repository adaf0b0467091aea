"""Exercises as files, and from their questions to a debrief."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import UserError
from lab.live.exercise_files import exercise_names, load_exercise, parse_exercise
from lab.live.feed import Feed
from lab.live.incidents import Incident
from lab.live.training import Training, Truth
from lab.lockstep.timeline import Disturbance

FAULT = Disturbance("outage", "fault: section T1-S01", 160, 160, "section T1-S01")
TRUTH = Truth(
    devices={"fault": "section:T1-S01"},
    collectors={},
    numbers={"fault": 4},
    reach={"section:T1-S01": frozenset("abcd"), "transformer:T1": frozenset("abcdefgh"), "line:T1": frozenset()},
    all_collectors=("COL0001", "COL0002"),
    meters=1_506,
)
RIGHT = {"device": "section T1-S01", "customers": "4", "crew": "yes"}


def training() -> Training:
    return Training(load_exercise("find-the-fault"), 100, {"fault": Incident(3, FAULT, "exercise", True)}, TRUTH)


def test_three_exercises_come_with_amilab() -> None:
    assert exercise_names() == ["find-the-fault", "phantom-outage", "which-collector-died"]


@pytest.mark.parametrize("name", exercise_names())
def test_each_hides_the_truth_and_says_why_an_answer_is_right(name: str) -> None:
    exercise = load_exercise(name)
    assert "truth" in exercise.hides
    assert all(question.explain for question in exercise.question)


def test_what_is_posed_holds_no_answer() -> None:
    posed = json.dumps(training().posed())
    assert "T1-S01" not in posed
    assert "explain" not in posed


def test_right_answers_earn_all_points() -> None:
    debrief = training().debrief(RIGHT, 400, [])
    assert debrief["earned"] == debrief["points"] == 10
    assert debrief["simulated_s"] == 300
    assert debrief["what_happened"] == [{"at_s": 160, "text": "fault: section T1-S01"}]


def test_what_is_near_earns_some_and_what_one_does_not_know_none() -> None:
    debrief = training().debrief({"device": "transformer T1", "customers": " - ", "crew": "no"}, 400, [])
    earned = {each["key"]: each["earned"] for each in debrief["questions"]}
    assert earned == {"device": 1.5, "customers": 0.0, "crew": 0.0}
    assert [each["right"] for each in debrief["questions"]] == ["section T1-S01", "4", "yes"]


def test_a_debrief_tells_what_the_head_end_heard_since_the_beginning() -> None:
    feed = Feed()
    feed.tell(90, "head-end", "before")
    feed.tell(200, "lab", "of the lab", reveals="truth")
    feed.tell(205, "head-end", "4 last gasps heard", "bad")
    heard = training().debrief(RIGHT, 400, feed.after(0))["what_was_heard"]
    assert [each["text"] for each in heard] == ["4 last gasps heard"]


def test_answers_to_what_was_not_asked_are_refused() -> None:
    with pytest.raises(UserError, match="'collector' was not asked") as refusal:
        training().debrief({"collector": "COL1"}, 400, [])
    assert "device, customers, crew" in (refusal.value.hint or "")


@pytest.mark.parametrize(
    ("key", "answer", "told"),
    [
        ("device", "", "There is no answer yet"),
        ("device", "   ", "There is no answer yet"),
        ("device", None, "There is no answer yet"),
        ("device", "the one by the church", "There is no device 'the one by the church'; write it like transformer"),
        ("device", "t1", "'t1' may be transformer T1 or line T1"),
        ("device", "x" * 201, "one line of at most 200 characters"),
        ("device", "section\nT1-S01", "one line of at most 200 characters"),
        ("device", "T1\0", "one line of at most 200 characters"),
        ("customers", "many", "'many' is no whole number"),
        ("customers", "-4", "'-4' is no whole number"),
        ("customers", "4.5", "'4.5' is no whole number"),
        ("customers", "NaN", "'NaN' is no whole number"),
        ("customers", "²", "'²' is no whole number"),
        ("customers", "1e3", "'1e3' is no whole number"),
        ("customers", "1,507", "'1,507' is more than there are: 1,506"),
        ("customers", "9" * 200, "is more than there are: 1,506"),
        ("crew", "perhaps", "'perhaps' is none of: yes, no"),
    ],
)
def test_what_is_no_answer_is_told_and_nothing_is_scored(key: str, answer: str | None, told: str) -> None:
    given = {**RIGHT, key: answer} if answer is not None else {k: v for k, v in RIGHT.items() if k != key}
    question = next(each.text for each in load_exercise("find-the-fault").question if each.key == key)
    with pytest.raises(UserError) as refusal:
        training().debrief(given, 400, [])
    assert len(refusal.value.faults) == 1
    assert refusal.value.faults[0].startswith(question)
    assert told in refusal.value.faults[0]
    assert len(refusal.value.faults[0]) < 300
    assert "exercise goes on" in (refusal.value.hint or "")


def test_every_answer_that_is_none_is_told() -> None:
    with pytest.raises(UserError) as refusal:
        training().debrief({"customers": "no"}, 400, [])
    assert len(refusal.value.faults) == 3


def test_a_collector_that_there_is_not() -> None:
    exercise = load_exercise("which-collector-died")
    loss = Disturbance("uplink_loss", "uplink loss: COL0001", 160, 160, "", ("COL0001",))
    truth = Truth({}, {"loss": "COL0001"}, {"loss": 40}, {}, ("COL0001", "COL0002"), 1_506)
    going_on = Training(exercise, 100, {"loss": Incident(1, loss, "exercise", True)}, truth)
    with pytest.raises(UserError, match="There is no collector 'COL0009'"):
        going_on.debrief({"collector": "COL0009", "meters": "40", "readings": "they are lost"}, 400, [])


@given(st.dictionaries(st.sampled_from(["device", "customers", "crew"]), st.text()))
def test_whatever_is_answered_is_scored_or_refused_with_a_sentence(answers: dict[str, str]) -> None:
    try:
        debrief = training().debrief(answers, 400, [])
    except UserError as refusal:
        told = refusal.faults
    else:
        told = ("nothing.",)
        assert 0 <= debrief["earned"] <= debrief["points"]
    assert all(fault.endswith(".") for fault in told)


def test_an_unknown_exercise_is_refused_with_those_there_are() -> None:
    with pytest.raises(UserError, match="find-the-fault, phantom-outage, which-collector-died"):
        load_exercise("nothing")


def test_every_fault_of_a_file_is_listed() -> None:
    text = """
title = "x"
briefing = "x"
hides = ["everything"]
[[disturb]]
name = "fault"
after = "soon"
kind = "fault"
[[question]]
key = "device"
text = "?"
kind = "choice"
points = 1
explain = "x"
options = ["a"]
answer = "b"
"""
    with pytest.raises(UserError) as refusal:
        parse_exercise("broken", text)
    told = str(refusal.value)
    for fault in ("hides", "after", "one of the options"):
        assert fault in told


def test_a_question_about_no_disturbance_is_refused() -> None:
    text = """
title = "x"
briefing = "x"
hides = ["truth"]
[[disturb]]
name = "fault"
after = "1min"
kind = "fault"
[[question]]
key = "device"
text = "?"
kind = "device"
of = "falt"
points = 1
explain = "x"
"""
    with pytest.raises(UserError, match="no disturbance for: device"):
        parse_exercise("broken", text)
