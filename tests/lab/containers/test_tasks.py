"""What the tasks of a service tell: placed, without a node, broken."""

from __future__ import annotations

import pytest

from lab.containers.tasks import Task, broken, latest_first, placed, without_a_node

NO_NODE = "no suitable node (scheduling constraints not satisfied on 1 node)"


def task(name: str, state: str, *, slot: int = 1, wanted: bool = False, error: str = "", container: str = "") -> Task:
    return Task(name, slot, "2026-01-15T00:00:00Z", state, wanted, error, container)


def test_an_answer_is_read_with_and_without_a_container() -> None:
    pending = {
        "ID": "p",
        "Slot": 2,
        "CreatedAt": "2026-01-15T00:00:05.5Z",
        "DesiredState": "running",
        "Status": {"State": "pending", "Err": NO_NODE},
    }
    failed = {
        "ID": "f",
        "Slot": 2,
        "CreatedAt": "2026-01-15T00:00:01.5Z",
        "DesiredState": "shutdown",
        "Status": {"State": "failed", "ContainerStatus": {"ContainerID": "0123456789abcdef", "ExitCode": 137}},
    }
    assert latest_first([failed, pending]) == [
        Task("p", 2, "2026-01-15T00:00:05.5Z", "pending", True, NO_NODE),
        Task("f", 2, "2026-01-15T00:00:01.5Z", "failed", False, "", "0123456789ab", 137),
    ]


@pytest.mark.parametrize(
    ("tasks", "replicas", "all_placed"),
    [
        ([task("a", "running", wanted=True), task("b", "starting", slot=2, wanted=True)], 2, True),
        ([task("a", "running", wanted=True)], 2, False),
        ([task("a", "running", wanted=True), task("b", "pending", slot=2, wanted=True)], 2, False),
        ([task("a", "shutdown")], 0, True),
    ],
)
def test_placed_is_who_has_a_node(tasks: list[Task], replicas: int, all_placed: bool) -> None:
    assert placed(tasks, replicas) is all_placed


def test_only_who_is_to_run_misses_a_node() -> None:
    waiting = [task(f"t{slot}", "pending", slot=slot, wanted=True, error=NO_NODE) for slot in (1, 2)]
    assert without_a_node([*waiting, task("old", "pending", error="no longer wanted")]) == [NO_NODE]
    assert without_a_node([task("new", "pending", wanted=True)]) == []


def test_who_waits_for_a_predecessor_to_leave_misses_nothing() -> None:
    new = task("new", "pending", wanted=True, error="no suitable node (host-mode port already in use on 1 node)")
    assert without_a_node([new, task("old", "running")]) == []
    assert without_a_node([new, task("old", "shutdown")]) == [new.error]
    assert without_a_node([new, task("other", "running", slot=2)]) == [new.error]


def test_during_an_update_only_the_latest_task_tells() -> None:
    waiting = task("waiting", "pending", wanted=True, error=NO_NODE)
    newer = task("newer", "starting", slot=2, wanted=True)
    assert without_a_node([newer, waiting]) == [NO_NODE]
    assert without_a_node([newer, waiting], updating=True) == []
    assert without_a_node([waiting, newer], updating=True) == [NO_NODE]


def test_broken_is_who_ends_again_and_again_and_is_not_back() -> None:
    now = task("now", "starting", wanted=True)
    first, second = task("1", "failed", container="c1"), task("2", "rejected", error="no such image", container="c2")
    assert broken([now, second, first], ignored=set()) == {1: second}
    assert broken([now, second], ignored=set()) == {}
    assert broken([now, task("2", "shutdown"), second, first], ignored=set()) == {}
    assert broken([task("now", "running", wanted=True), second, first], ignored=set()) == {}


@pytest.mark.parametrize("ignored", [{"c1"}, {"c2"}, {"1"}, {"2"}])
def test_whom_a_scenario_killed_or_an_earlier_run_saw_end_is_not_broken(ignored: set[str]) -> None:
    now = task("now", "starting", wanted=True)
    ended = [task("2", "failed", container="c2"), task("1", "failed", container="c1")]
    assert broken([now, *ended], ignored=ignored) == {}
    assert set(broken([now, *ended, task("0", "failed", container="c0")], ignored=ignored)) == {1}
