"""Exercises as files, and from their questions to a debrief."""

from __future__ import annotations

import json

import pytest

from lab.errors import UserError
from lab.live.exercise_files import exercise_names, load_exercise, parse_exercise
from lab.live.feed import Feed
from lab.live.incidents import Incident
from lab.live.training import Training, Truth
from lab.timeline import Disturbance

FAULT = Disturbance("outage", "fault: section T1-S01", 160, 160, "section T1-S01")
TRUTH = Truth(
    devices={"fault": "section:T1-S01"},
    collectors={},
    numbers={"fault": 4},
    reach={"section:T1-S01": frozenset("abcd"), "transformer:T1": frozenset("abcdefgh")},
)


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
    debrief = training().debrief({"device": "section T1-S01", "customers": "4", "crew": "yes"}, 400, [])
    assert debrief["earned"] == debrief["points"] == 10
    assert debrief["simulated_s"] == 300
    assert debrief["what_happened"] == [{"at_s": 160, "text": "fault: section T1-S01"}]


def test_what_is_near_earns_some_and_what_is_left_out_none() -> None:
    debrief = training().debrief({"device": "transformer T1", "crew": "no"}, 400, [])
    earned = {each["key"]: each["earned"] for each in debrief["questions"]}
    assert earned == {"device": 1.5, "customers": 0.0, "crew": 0.0}
    assert [each["right"] for each in debrief["questions"]] == ["section T1-S01", "4", "yes"]


def test_a_debrief_tells_what_the_head_end_heard_since_the_beginning() -> None:
    feed = Feed()
    feed.tell(90, "head-end", "before")
    feed.tell(200, "lab", "of the lab", reveals="truth")
    feed.tell(205, "head-end", "4 last gasps heard", "bad")
    heard = training().debrief({}, 400, feed.after(0))["what_was_heard"]
    assert [each["text"] for each in heard] == ["4 last gasps heard"]


def test_answers_to_what_was_not_asked_are_refused() -> None:
    with pytest.raises(UserError, match="'collector' was not asked") as refusal:
        training().debrief({"collector": "COL1"}, 400, [])
    assert "device, customers, crew" in (refusal.value.hint or "")


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
