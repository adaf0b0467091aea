from __future__ import annotations

import math
from typing import cast

import numpy as np

from meters.device.draws import meter_keys
from meters.device.facts import ConnectedFacts, DirectFacts
from meters.device.state import METER_STATE, NEVER_S
from meters.device.supply import Change, Changed, Supplies
from meters.vendors.registry import load_profile
from tests.meters.meter_yard import START_S

FACTS = cast(DirectFacts, load_profile("rl-dsp").facts)
COUNT = 100
ALL = np.arange(COUNT)
DOWN_S = START_S + 1000


def supplies(dark: tuple[int, ...] = ()) -> tuple[Supplies, np.ndarray]:
    state = np.zeros(COUNT, dtype=METER_STATE)
    made = Supplies(state, meter_keys(3, [f"AMI{number}" for number in range(COUNT)]), FACTS)
    energised = np.ones(COUNT, dtype=bool)
    energised[list(dark)] = False
    made.begin(energised, START_S)
    return made, state


def play(made: Supplies, state: np.ndarray, until_s: float) -> list[tuple[int, Changed]]:
    """Every change up to `until_s`, with its instant."""
    seen = []
    while (due_s := state["supply_due_s"].min()) <= until_s:
        assert due_s == math.ceil(due_s)
        seen += [(int(due_s), changed) for changed in made.fire(int(due_s))]
    return seen


def instants(seen: list[tuple[int, Changed]], change: Change) -> dict[int, int]:
    return {changed.row: now_s for now_s, changed in seen if changed.change is change}


def test_a_long_outage_gasps_dies_and_is_forgotten_in_this_order() -> None:
    made, state = supplies()
    made.lose(ALL, DOWN_S)
    seen = play(made, state, DOWN_S + 10_000)
    gasps, deaths = instants(seen, Change.LAST_GASP), instants(seen, Change.DIED)
    forgotten = instants(seen, Change.FORGOTTEN)
    assert set(gasps) == set(deaths) == set(forgotten) == set(range(COUNT))
    # Qualifying delay 45 s and a random offset of up to 10 s.
    assert all(DOWN_S + 45 <= now_s <= DOWN_S + 55 for now_s in gasps.values())
    assert len(set(gasps.values())) > 5
    assert set(deaths.values()) == {DOWN_S + 90}
    # 1.5 times the keep-alive of 60 s after its death.
    assert set(forgotten.values()) == {DOWN_S + 90 + 90}
    assert not made.alive(ALL).any()


def test_supply_back_within_the_qualifying_delay_is_momentary() -> None:
    made, state = supplies()
    made.lose(ALL, DOWN_S)
    assert play(made, state, DOWN_S + 40) == []
    assert made.restore(ALL, DOWN_S + 40) == [Changed(row, Change.MOMENTARY) for row in range(COUNT)]
    assert play(made, state, DOWN_S + 10_000) == []
    assert (state["supply_due_s"] == NEVER_S).all()
    assert (state["down_at_s"] == DOWN_S).all()
    assert (state["up_at_s"] == DOWN_S + 40).all()


def test_supply_back_between_gasp_and_death_needs_no_boot() -> None:
    made, state = supplies()
    made.lose(ALL, DOWN_S)
    play(made, state, DOWN_S + 60)
    assert made.restore(ALL, DOWN_S + 60) == [Changed(row, Change.RESTORED) for row in range(COUNT)]
    assert play(made, state, DOWN_S + 10_000) == []
    assert made.alive(ALL).all()
    assert (state["boots"] == 1).all()


def test_supply_back_after_death_boots_first() -> None:
    made, state = supplies()
    made.lose(ALL, DOWN_S)
    play(made, state, DOWN_S + 7200)
    up_s = DOWN_S + 7200
    assert made.restore(ALL, up_s) == []
    assert not made.alive(ALL).any()
    booted = instants(play(made, state, up_s + 10_000), Change.BOOTED)
    assert set(booted) == set(range(COUNT))
    assert all(up_s + 20 <= now_s <= up_s + 40 for now_s in booted.values())
    assert len(set(booted.values())) > 10
    assert made.alive(ALL).all()
    assert (state["boots"] == 2).all()


def test_supply_lost_again_in_the_boot_prolongs_the_outage_without_a_gasp() -> None:
    made, state = supplies()
    made.lose(ALL, DOWN_S)
    play(made, state, DOWN_S + 7200)
    made.restore(ALL, DOWN_S + 7200)
    made.lose(ALL, DOWN_S + 7210)
    seen = play(made, state, DOWN_S + 8000)
    assert {changed.change for _, changed in seen} == {Change.FORGOTTEN}
    assert not made.alive(ALL).any()
    assert (state["down_at_s"] == DOWN_S).all()
    made.restore(ALL, DOWN_S + 8000)
    assert len(instants(play(made, state, DOWN_S + 9000), Change.BOOTED)) == COUNT


def test_a_reboot_takes_a_minute_longer_and_only_befalls_running_meters() -> None:
    made, state = supplies(dark=(4,))
    assert set(made.reboot(ALL, DOWN_S).tolist()) == set(range(COUNT)) - {4}
    assert not made.alive(ALL).any()
    back = instants(play(made, state, DOWN_S + 1000), Change.REBOOTED)
    assert set(back) == set(range(COUNT)) - {4}
    assert all(DOWN_S + 80 <= now_s <= DOWN_S + 100 for now_s in back.values())


def test_supply_lost_in_a_reboot_is_an_outage() -> None:
    made, state = supplies()
    made.reboot(ALL, DOWN_S)
    made.lose(ALL, DOWN_S + 30)
    made.restore(ALL, DOWN_S + 500)
    seen = play(made, state, DOWN_S + 1000)
    assert len(instants(seen, Change.BOOTED)) == COUNT
    assert not instants(seen, Change.REBOOTED)
    assert (state["down_at_s"] == DOWN_S + 30).all()


def test_meters_dark_at_the_start_boot_with_their_supply() -> None:
    made, state = supplies(dark=(1, 2))
    assert (made.alive(ALL) == ~np.isin(ALL, [1, 2])).all()
    made.restore(np.array([1, 2]), DOWN_S)
    assert set(instants(play(made, state, DOWN_S + 100), Change.BOOTED)) == {1, 2}


def test_without_a_super_capacitor_a_meter_is_dead_at_once_and_boots_when_supply_is_back() -> None:
    facts = ConnectedFacts.model_validate({name: getattr(FACTS, name) for name in ConnectedFacts.model_fields})
    state = np.zeros(COUNT, dtype=METER_STATE)
    made = Supplies(state, meter_keys(3, [f"AMI{number}" for number in range(COUNT)]), facts)
    made.begin(np.ones(COUNT, dtype=bool), START_S)
    assert made.lose(ALL, DOWN_S) == [Changed(row, Change.DIED) for row in range(COUNT)]
    assert not made.alive(ALL).any()
    assert set(instants(play(made, state, DOWN_S + 1000), Change.FORGOTTEN).values()) == {DOWN_S + 90}
    assert made.restore(ALL, DOWN_S + 1000) == []
    booted = instants(play(made, state, DOWN_S + 2000), Change.BOOTED)
    assert all(DOWN_S + 1020 <= now_s <= DOWN_S + 1040 for now_s in booted.values())
    assert set(booted) == set(range(COUNT))
    assert made.alive(ALL).all()
