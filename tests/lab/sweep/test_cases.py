"""Which runs a sweep is made of."""

from __future__ import annotations

import pytest

from lab.sweep.cases import Case, argument_faults, parse_seeds, seed_by_seed


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("7", (7,)), ("1-3", (1, 2, 3)), ("9, 1-2,2,9", (9, 1, 2)), ("0", (0,)), ("101-101", (101,))],
)
def test_seeds_are_single_ones_and_ranges_each_once(text: str, seeds: tuple[int, ...]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "x", "1-", "-1", "1--2", "3-1", "1,,2", "1.5", "0-99999999", "0-9999,10000"])
def test_what_is_no_seed_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no seed|ends before|more than"):
        parse_seeds(text)


def test_fleets_take_turns_so_that_a_stopped_sweep_has_seen_them_all() -> None:
    cases = seed_by_seed("quickstart", ["mesh", "plc", "mesh"], (4, 5), ["--network", "radio"])
    assert [(case.seed, case.fleet) for case in cases] == [(4, "mesh"), (4, "plc"), (5, "mesh"), (5, "plc")]
    assert {case.arguments for case in cases} == {("--network", "radio")}


def test_a_directory_is_named_whatever_scenario_and_fleet_are_called() -> None:
    name = Case("../my day.toml", "rl-dsp=0.5,file:/a/b.toml=0.5", 7).directory_name
    assert "/" not in name
    assert ".." not in name
    assert name.endswith("-7")
    assert len(Case("quickstart", "file:" + "a" * 300, 7).directory_name) < 120


def test_no_two_cases_share_a_directory() -> None:
    plain = Case("a-b", "mesh", 7)
    others = (
        Case("a b", "mesh", 7),
        Case("a", "b-mesh", 7),
        Case("a-b", "mesh", 8),
        Case("a-b", "mesh", 7, ("--network", "none")),
        Case("a-b", "mesh", 7, ("--network none",)),
    )
    assert len({case.directory_name for case in (plain, *others)}) == 6


def test_what_the_sweep_says_itself_cannot_be_passed_on() -> None:
    assert argument_faults(["--network", "radio"], jobs=4) == []
    assert argument_faults(["--compose"], jobs=1) == []
    assert [fault.split()[0] for fault in argument_faults(["--seed=3", "--out", "x", "--compose"], jobs=2)] == [
        "--seed",
        "--out",
        "--compose",
    ]
