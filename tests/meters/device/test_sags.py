from __future__ import annotations

from typing import cast

import numpy as np

from meters.device.facts import Facts
from meters.device.sags import Excursion, VoltageWatch
from meters.device.state import METER_STATE
from meters.vendors.registry import load_profile

FACTS = cast(Facts, load_profile("rl-dsp").facts)


def lived(*voltages_v: float) -> list[tuple[int, list[Excursion]]]:
    """What L2 of meter 1 of two tells as its voltage goes."""
    watch = VoltageWatch(np.zeros(2, dtype=METER_STATE), FACTS)
    told = []
    for number, volts in enumerate(voltages_v):
        measured = np.full((2, 3), 230.0)
        measured[1, 1] = volts
        told.append((number * 900, watch.adopt(measured, number * 900)))
    return [(at_s, found) for at_s, found in told if found]


def test_a_sag_is_told_when_it_is_over_with_its_lowest_voltage_and_begin() -> None:
    assert lived(230.0, 206.0, 199.5, 205.0, 212.0) == [(3600, [Excursion(1, 1, False, 199.5, 900.0)])]


def test_a_swell_is_told_with_its_highest_voltage() -> None:
    assert lived(254.0, 256.5, 253.5, 247.0) == [(2700, [Excursion(1, 1, True, 256.5, 0.0)])]


def test_a_voltage_at_the_threshold_is_one_event() -> None:
    # EN 50160: 207 V is 90 % of 230 V; a sag is over 2 % above.
    assert lived(206.9, 207.1, 206.9, 211.5, 211.7) == [(3600, [Excursion(1, 1, False, 206.9, 0.0)])]
    assert lived(207.1, 208.0, 252.9) == []


def test_an_interruption_ends_a_sag_and_is_none() -> None:
    assert lived(200.0, 0.0, 0.0, 230.0) == [(900, [Excursion(1, 1, False, 200.0, 0.0)])]


def test_a_sag_that_becomes_a_swell_is_both() -> None:
    found = lived(200.0, 256.0, 230.0)
    assert [(at_s, each[0].swell) for at_s, each in found] == [(900, False), (1800, True)]
