"""The most likely devices: right against an exhaustive search, and where the answer is plain."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from headend.outages.explain import NEW, SILENT, UNHEARD, CostOf, explain, suspects
from headend.outages.model import Classes
from tests.headend.networks import Radial, radials, street


def costs(classes: Classes, cost: dict[int, float]) -> CostOf:
    return lambda index, _: sum(cost.get(meter, 0.0) for meter in classes.members(index).tolist())


def unheard(classes: Classes, dark: set[int]) -> CostOf:
    return costs(classes, {meter: UNHEARD for meter in range(len(classes.order)) if meter not in dark})


def found(radial: Radial, dark: set[int]) -> set[frozenset[int]]:
    classes = radial.classes
    return {
        frozenset(classes.members(index).tolist()) for index in explain(classes, sorted(dark), unheard(classes, dark))
    }


@settings(max_examples=200)
@given(st.data())
def test_nothing_is_cheaper(data: st.DataObject) -> None:
    radial = data.draw(radials(max_devices=6, max_meters=7))
    classes = radial.classes
    meters = range(len(radial.at))
    dark = data.draw(st.sets(st.sampled_from(meters), min_size=1))
    price = st.sampled_from([0.0, SILENT, UNHEARD, 14.0])
    cost_of = costs(classes, {meter: data.draw(price) for meter in meters if meter not in dark})
    chosen = explain(classes, sorted(dark), cost_of)
    covered = [meter for index in chosen for meter in classes.members(index).tolist() if meter in dark]
    assert sorted(covered) == sorted(dark)

    def total(indices: tuple[int, ...]) -> float:
        return sum(NEW + cost_of(index, frozenset()) for index in indices)

    useful = [index for index in range(len(classes.first)) if not dark.isdisjoint(classes.members(index).tolist())]
    best = min(
        total(some)
        for count in range(1, len(dark) + 1)
        for some in itertools.combinations(useful, count)
        if dark <= set(np.concatenate([classes.members(index) for index in some]).tolist())
    )
    assert total(tuple(chosen)) <= best + 1e-9


@given(st.data())
def test_when_everybody_is_heard_the_device_is_right(data: st.DataObject) -> None:
    radial = data.draw(radials())
    device = data.draw(st.sampled_from([d for d in range(len(radial.parents)) if radial.below(d)]))
    assert found(radial, set(radial.below(device))) == {radial.below(device)}


@given(st.data())
def test_lost_gasps_never_make_the_outage_larger(data: st.DataObject) -> None:
    radial = data.draw(radials())
    below = radial.below(data.draw(st.sampled_from([d for d in range(len(radial.parents)) if radial.below(d)])))
    heard = data.draw(st.sets(st.sampled_from(sorted(below)), min_size=1))
    assert all(part <= below for part in found(radial, heard))


def test_most_gasps_suffice_for_a_street() -> None:
    assert found(street(), {4, 5, 7, 8}) == {frozenset(range(4, 10))}
    assert found(street(), {0, 1, 2, 4, 5, 6, 7, 9}) == {frozenset(range(10))}


def test_one_gasp_is_one_customer() -> None:
    assert found(street(), {5}) == {frozenset({5})}


def test_two_places_at_once() -> None:
    assert found(street(), {0, 1, 2, 3, 9}) == {frozenset(range(4)), frozenset({9})}


@given(st.data())
def test_suspects_are_enough(data: st.DataObject) -> None:
    """Whatever the others do, what explains the gasps does not change."""
    radial = data.draw(radials())
    classes = radial.classes
    meters = range(len(radial.at))
    dark = data.draw(st.sets(st.sampled_from(meters), min_size=1))
    free = data.draw(st.sets(st.sampled_from(meters))) - dark
    decisive = set(suspects(classes, sorted(dark), free).tolist())
    price = st.sampled_from([SILENT, UNHEARD, 14.0])
    shared = {m: data.draw(price) for m in meters if m in decisive and m not in dark | free}
    one, other = (
        shared | {m: data.draw(price) for m in meters if m not in decisive and m not in dark | free} for _ in range(2)
    )
    assert explain(classes, sorted(dark), costs(classes, one)) == explain(classes, sorted(dark), costs(classes, other))
