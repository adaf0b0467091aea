"""From reports to outages: beginnings, ends, nested ones, lost reports, and what silence does and does not say."""

import random
from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headend.outages.follow import NEVER_S, Follower, Outage, Report, Rules, Sightings, groups, merged
from tests.headend.networks import Radial, radials, street

RULES = Rules(together_s=3.0, nested_after_s=1800.0)
T = 1000.0

Seen = dict[str, tuple[float, float | None, list[int]]]


def follow(
    radial: Radial,
    reports: Sequence[Report],
    *,
    now_s: float = T + 60,
    seen: Sightings | None = None,
    elsewhere: Iterable[int] = (),
) -> list[Outage]:
    sightings = Sightings.none(len(radial.at)) if seen is None else seen
    follower = Follower(radial.classes, sightings, RULES, elsewhere=set(elsewhere), now_s=now_s)
    return follower.outages(reports)


def named(radial: Radial, outages: Iterable[Outage]) -> Seen:
    classes = radial.classes
    return {
        classes.devices[outage.class_index][0]: (outage.began_s, outage.ended_s, [part.meter for part in outage.parts])
        for outage in outages
    }


def gasps(meters: Iterable[int], at_s: float = T) -> list[Report]:
    return [Report(meter, at_s, gasp_s=at_s + 50) for meter in meters]


def interrupted(meters: Iterable[int], from_s: float = T, to_s: float = T + 7200) -> list[Report]:
    return [Report(meter, from_s, to_s, from_s + 50, to_s + 30) for meter in meters]


def test_an_outage_that_lasts() -> None:
    assert named(street(), follow(street(), gasps([0, 1, 2, 3]))) == {"d1": (T, None, [0, 1, 2, 3])}


def test_one_that_has_ended() -> None:
    (outage,) = follow(street(), interrupted([0, 1, 2, 3]), now_s=T + 9000)
    assert (outage.began_s, outage.ended_s) == (T, T + 7200)
    assert {(part.gasp_s, part.back_s) for part in outage.parts} == {(T + 50, T + 7230)}


def test_clocks_differ_by_a_second() -> None:
    reports = interrupted([4, 5, 6]) + interrupted([7, 8, 9], T - 1, T + 7199)
    (outage,) = follow(street(), sorted(reports, key=lambda report: report.down_s), now_s=T + 9000)
    assert T - 1 <= outage.began_s <= T
    assert outage.ended_s is not None
    assert T + 7199 <= outage.ended_s <= T + 7200
    assert {part.from_s for part in outage.parts} == {T - 1, T}


def test_who_lost_its_gasp_is_inferred_and_comes_back_with_the_others() -> None:
    (outage,) = follow(street(), interrupted([4, 5, 6, 8, 9]), now_s=T + 9000)
    (part,) = [part for part in outage.parts if part.meter == 7]
    assert (part.from_s, part.to_s, part.gasp_s, part.back_s) == (T, T + 7200, None, None)


def test_who_was_measured_with_supply_was_not_dark() -> None:
    seen = Sightings.none(10)
    seen.lit_s[7] = T + 600
    (outage,) = follow(street(), interrupted([4, 5, 6, 8, 9]), now_s=T + 9000, seen=seen)
    assert 7 not in [part.meter for part in outage.parts]


def test_who_was_measured_with_supply_afterwards_may_have_been_dark() -> None:
    seen = Sightings.none(10)
    seen.lit_s[7] = T + 7300
    (outage,) = follow(street(), interrupted([4, 5, 6, 8, 9]), now_s=T + 9000, seen=seen)
    assert 7 in [part.meter for part in outage.parts]


def test_many_with_supply_speak_against_the_device() -> None:
    seen = Sightings.none(10)
    seen.lit_s[4:7] = T + 600
    outages = follow(street(), gasps([7, 8, 9]), now_s=T + 2000, seen=seen)
    assert named(street(), outages).keys() == {"d10", "d11", "d12"}


def test_silence_by_itself_makes_no_outage_larger() -> None:
    seen = Sightings.none(10)
    seen.silent[:] = True
    assert named(street(), follow(street(), gasps([5]), now_s=T + 5000, seen=seen)).keys() == {"d8"}


def test_silence_supports_last_gasps() -> None:
    """Two gasps of ten: two customers if the others can be heard, the transformer if they have fallen silent too."""
    heard = Sightings.none(10)
    assert named(street(), follow(street(), gasps([0, 5]), seen=heard)).keys() == {"d3", "d8"}
    silent = Sightings.none(10)
    silent.silent[:] = True
    assert named(street(), follow(street(), gasps([0, 5]), seen=silent)).keys() == {"d0"}


def test_the_others_are_waited_for_before_the_end_is_told() -> None:
    reports = interrupted([0, 1], to_s=T + 900) + gasps([2, 3])
    (outage,) = follow(street(), sorted(reports, key=lambda r: r.meter), now_s=T + 940)
    assert outage.ended_s is None
    assert [part.to_s for part in outage.parts] == [T + 900, T + 900, None, None]


def test_a_lost_restore_is_made_up_for_by_a_reading() -> None:
    seen = Sightings.none(10)
    seen.back_by_s[3] = T + 1800
    (outage,) = follow(street(), interrupted([0, 1, 2], to_s=T + 900) + gasps([3]), now_s=T + 2000, seen=seen)
    assert outage.ended_s == T + 900
    assert {part.to_s for part in outage.parts} == {T + 900}


def test_when_all_restores_are_lost_the_first_readings_end_it() -> None:
    seen = Sightings.none(10)
    seen.back_by_s[:4] = T + 1800
    (outage,) = follow(street(), gasps([0, 1, 2, 3]), now_s=T + 2000, seen=seen)
    assert outage.ended_s == T + 1800


def test_who_stays_dark_is_held_by_something_else() -> None:
    """The transformer comes back, one service in it stays out: known for certain when that one comes back."""
    reports = interrupted(range(9)) + interrupted([9], to_s=T + 9000)
    assert named(street(), follow(street(), reports, now_s=T + 9999)) == {
        "d0": (T, T + 7200, list(range(10))),
        "d12": (T + 7200, T + 9000, [9]),
    }


def test_a_section_that_stays_dark() -> None:
    reports = interrupted(range(4)) + interrupted([4, 5, 6, 7, 8, 9], to_s=T + 9000)
    assert named(street(), follow(street(), reports, now_s=T + 9999)) == {
        "d0": (T, T + 7200, list(range(10))),
        "d2": (T + 7200, T + 9000, list(range(4, 10))),
    }


def test_who_gasped_and_is_silent_long_after_the_others_is_held_too() -> None:
    reports = interrupted(range(9)) + gasps([9])
    seen = Sightings.none(10)
    seen.silent[9] = True
    early = follow(street(), reports, now_s=T + 7200 + 600, seen=seen)
    assert named(street(), early) == {"d0": (T, None, list(range(10)))}
    late = follow(street(), reports, now_s=T + 7200 + 1900, seen=seen)
    assert named(street(), late) == {"d0": (T, T + 7200, list(range(10))), "d12": (T + 7200, None, [9])}


def test_a_momentary_interruption_that_leaves_a_section_dark() -> None:
    reports = interrupted(range(4), to_s=T + 40) + interrupted(range(4, 10), to_s=T + 3000)
    assert named(street(), follow(street(), reports, now_s=T + 4000)) == {
        "d0": (T, T + 40, list(range(10))),
        "d2": (T + 40, T + 3000, list(range(4, 10))),
    }


def test_who_was_dark_already_belongs_to_the_other_outage() -> None:
    outages = follow(street(), interrupted([5, 6, 7, 8]), now_s=T + 9000, elsewhere=[4, *range(4)])
    assert named(street(), outages) == {"d2": (T, T + 7200, [5, 6, 7, 8, 9])}


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        ([Report(0, T, gasp_s=1.0), Report(0, T + 1, T + 90, back_s=2.0)], [Report(0, T, T + 90, 1.0, 2.0)]),
        ([Report(0, T, T + 90), Report(0, T + 50, T + 200)], [Report(0, T, T + 200)]),
        ([Report(0, T), Report(0, T + 500)], [Report(0, T, back_by_s=T + 500), Report(0, T + 500)]),
        ([Report(1, T), Report(0, T)], [Report(0, T), Report(1, T)]),
    ],
)
def test_reports_of_one_loss_are_one(reports: list[Report], expected: list[Report]) -> None:
    assert merged(reports, 3.0) == expected


def test_groups_do_not_grow_without_end() -> None:
    reports = [Report(meter, T + 2 * meter) for meter in range(6)]
    assert [[report.meter for report in group] for group in groups(reports, 3.0)] == [[0, 1], [2, 3], [4, 5]]


@given(st.data())
def test_random_outages_with_lost_gasps_are_told_right_once_supply_is_back(data: st.DataObject) -> None:
    """Several devices of a random radial network open one after the other. Gasps are lost, restores come in the end."""
    radial = data.draw(radials(max_devices=20, max_meters=40))
    classes = radial.classes
    candidates = [device for device in range(len(radial.parents)) if radial.below(device)]
    opened: list[tuple[frozenset[int], float]] = []
    for number, device in enumerate(data.draw(st.lists(st.sampled_from(candidates), min_size=1, max_size=4))):
        if all(radial.below(device).isdisjoint(other) for other, _ in opened):
            opened.append((radial.below(device), T + 100 * number))
    dice = random.Random(data.draw(st.integers(0, 10**6)))
    reports = [
        Report(
            meter,
            from_s - dice.randint(0, 1),
            from_s + 4000 - dice.randint(0, 1),
            gasp_s=from_s + 50 if dice.random() < 0.5 else None,
            back_s=from_s + 4030,
        )
        for below, from_s in opened
        for meter in below
    ]
    told = [
        outage
        for group in groups(merged(reports, RULES.together_s), RULES.together_s)
        for outage in follow(radial, group, now_s=T + 9000)
    ]
    assert {frozenset(classes.members(outage.class_index).tolist()) for outage in told} == {b for b, _ in opened}
    for outage in told:
        assert outage.ended_s is not None
        assert abs(outage.ended_s - outage.began_s - 4000) <= 1
        assert {part.meter for part in outage.parts} == set(classes.members(outage.class_index).tolist())


def test_sightings_of_nobody() -> None:
    seen = Sightings.none(2)
    assert np.all(seen.lit_s == NEVER_S)
    assert not seen.silent.any()
