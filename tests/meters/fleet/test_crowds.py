"""How many meters of a cell want something at once: the same in every process."""

from __future__ import annotations

import numpy as np

from meters.fleet.crowds import STIRRED_FOR_S, Crowds
from tests.meters.meter_yard import START_S, World, uneven_power_w

COUNT = 10
CELLS = ["a/1"] * 6 + ["b/1"] * 4
MEMBERS = {"a/1": tuple(range(6)), "b/1": tuple(range(6, 10))}


def crowds(rows: list[int]) -> Crowds:
    return Crowds([CELLS[row] for row in rows], np.array(rows), MEMBERS)


def of_each(found: Crowds, count: int, now_s: float) -> list[float]:
    stirred: list[float] = found.stirred(np.arange(count), now_s).tolist()
    return stirred


def test_an_outage_stirs_those_whom_it_hits_for_a_while() -> None:
    world, found = World(uneven_power_w(COUNT)), crowds(list(range(COUNT)))
    found.see(world.frame(START_S))
    assert of_each(found, COUNT, START_S) == [5.0] * 6 + [3.0] * 4, "at first all connect"
    down_s = START_S + 900
    found.see(world.frame(down_s, m0=False, m1=False, m2=False, m7=False))
    assert of_each(found, COUNT, down_s + 1) == [2.0] * 6 + [0.0] * 4
    assert of_each(found, COUNT, down_s + STIRRED_FOR_S + 1) == [0.0] * COUNT


def test_whichever_process_looks_sees_the_same() -> None:
    world = World(uneven_power_w(COUNT))
    whole, part = crowds(list(range(COUNT))), crowds([2, 8])
    for frame in (world.frame(START_S), world.frame(START_S + 900, m0=False, m3=False, m9=False)):
        whole.see(frame)
        part.see(frame)
    now_s = START_S + 910
    assert of_each(part, 2, now_s) == whole.stirred(np.array([2, 8]), now_s).tolist() == [1.0, 0.0]
    assert part.others(np.arange(2)).tolist() == [5.0, 3.0]


def test_what_follows_closely_adds_up_to_no_more_than_all() -> None:
    found = crowds(list(range(COUNT)))
    found.stir(np.array([6]), 100)
    assert of_each(found, COUNT, 100) == [0.0] * 6 + [3.0] * 4
    found.stir(np.array([7]), 110)
    assert of_each(found, COUNT, 110)[6:] == [3.0] * 4
