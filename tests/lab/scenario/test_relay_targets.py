"""Whose relay a technician moves: drawn by seed, in the order of time; and who has none."""

from __future__ import annotations

import re
import textwrap

import pytest

from lab.errors import UserError
from lab.fleet.commissioning import Commissioned, commission
from lab.fleet.geography import Place
from lab.fleet.presets import PRESETS
from lab.fleet.vendors import vendor_mix
from lab.lockstep.timeline import Disturbance, actions
from lab.scenario.events import RelayEvent
from lab.scenario.load import Scenario, parse_scenario
from lab.scenario.relay_targets import Numbered, Technician, opened_relays

START_S = 1_768_435_200
HEAD = """
[scenario]
name = "relays"
start = 2026-01-15T00:00:00Z
duration = "24h"
seed = 7
[feeder]
name = "schutterwald"
[fleet]
"""


def scenario(events: str) -> Scenario:
    return parse_scenario(HEAD + textwrap.dedent(events), "relays.toml")


def fleet(preset: str = "bakeoff", meters: int = 60) -> Commissioned:
    points = [f"UP-{row}" for row in range(meters)]
    places = [Place(7.5 + row / 1e3, 48.0, "T") for row in range(meters)]
    mix = vendor_mix(PRESETS[preset].shares)
    return commission(points, places, mix, group="g", seed=7, new_gateway=lambda: "127.0.0.1:1502")


def planned(events: str, of: Commissioned, busy: frozenset[str] = frozenset()) -> list[Disturbance]:
    found = scenario(events)
    technician = Technician(of.meters, start_s=START_S, seed=found.seed)
    numbered = [Numbered(index, event) for index, event in enumerate(found.events) if isinstance(event, RelayEvent)]
    return [technician.disturbance(each, lambda _at_s: set(busy)) for each in numbered]


def polled_serials(of: Commissioned) -> list[str]:
    return [meter.serial for meter in of.meters if meter.profile.name == "sdm630"]


OPEN_20 = """
    [[event]]
    kind = "relay"
    at = "10:00"
    position = "open"
    select = { meters = 20 }
    """


def test_meters_with_a_relay_are_drawn_and_always_the_same() -> None:
    of = fleet()
    (opened,) = planned(OPEN_20, of)
    assert len(opened.stations) == len(set(opened.stations)) == 20
    assert not set(opened.stations) & set(polled_serials(of))
    assert polled_serials(of), "there must be some who have none"
    assert opened.label == "relay open: 20 meters disconnected"
    assert planned(OPEN_20, of) == [opened]
    assert [(action.at_s - START_S, action.verb) for action in actions([opened])] == [(36_000, "open_relay")]


def test_a_relay_goes_back_after_its_duration() -> None:
    (opened,) = planned(OPEN_20 + 'duration = "90min"\n', fleet())
    verbs = [(action.at_s - START_S, action.verb, action.stations) for action in actions([opened])]
    assert verbs == [(36_000, "open_relay", opened.stations), (41_400, "close_relay", opened.stations)]
    assert opened_relays([opened], START_S + 41_399) == set(opened.stations)
    assert opened_relays([opened], START_S + 41_400) == set()


def test_only_what_is_open_is_closed_and_only_what_is_closed_is_opened() -> None:
    events = (
        OPEN_20
        + """
    [[event]]
    kind = "relay"
    at = "12:00"
    position = "closed"
    select = { meters = 15 }
    [[event]]
    kind = "relay"
    at = "13:00"
    position = "open"
    select = { meters = 1000 }
    """
    )
    of = fleet()
    opened, closed, rest = planned(events, of)
    assert set(closed.stations) < set(opened.stations)
    able = {meter.serial for meter in of.meters} - set(polled_serials(of))
    assert set(rest.stations) == able - set(opened.stations) | set(closed.stations)
    assert rest.label.endswith("(1,000 asked for) disconnected")


def test_whom_another_event_hits_then_is_left_alone_if_that_can_be() -> None:
    of = fleet()
    busy = frozenset(meter.usage_point for meter in of.meters[:30])
    (opened,) = planned(OPEN_20, of, busy)
    point_of = {meter.serial: meter.usage_point for meter in of.meters}
    assert not busy & {point_of[serial] for serial in opened.stations}
    everybody = frozenset(point_of.values())
    assert len(planned(OPEN_20, of, everybody)[0].stations) == 20


def named(*serials: str, position: str = "open") -> str:
    return f"""
    [[event]]
    kind = "relay"
    at = "10:00"
    position = "{position}"
    select = {{ serials = {list(serials)} }}
    """


def test_a_meter_without_a_relay_and_one_that_is_not_there_are_refused_by_name() -> None:
    of = fleet()
    without = polled_serials(of)[0]
    able = next(meter.serial for meter in of.meters if meter.serial not in polled_serials(of))
    with pytest.raises(ValueError, match=rf"^no meter .* AMI99999999\n{without} has no relay \(sdm630\)$"):
        planned(named(without, "AMI99999999", able), of)
    (opened,) = planned(named(able, able), of)
    assert (tuple(opened.stations), opened.label) == ((able,), f"relay open: {able} disconnected")


@pytest.mark.parametrize(
    ("position", "message"), [("open", "no meter of this fleet has a relay"), ("closed", "no meter of this fleet has")]
)
def test_a_fleet_without_relays_is_refused(position: str, message: str) -> None:
    only = vendor_mix({"sdm630": 1.0})
    points = [f"UP-{row}" for row in range(5)]
    places = [Place(7.5, 48.0, "T")] * 5
    of = commission(points, places, only, group="g", seed=7, new_gateway=lambda: "127.0.0.1:1502")
    with pytest.raises(ValueError, match=message):
        planned(OPEN_20.replace('"open"', f'"{position}"'), of)


def test_nothing_can_be_closed_that_nobody_opened() -> None:
    with pytest.raises(ValueError, match="no meter's relay is open then"):
        planned(OPEN_20.replace('"open"', '"closed"'), fleet())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("{ meters = 20 }", "{ serials = [] }"), "'serials' is"),
        (("{ meters = 20 }", "{ collectors = 1 }"), r"write select = .* or select = \{ serials = "),
        (('"open"', '"ajar"'), "'position' is"),
        (('at = "10:00"', 'at = "10:00"\nduration = "16h"'), "is over only at 26:00:00"),
    ],
)
def test_what_is_wrong_with_an_event_is_said(change: tuple[str, str], message: str) -> None:
    events = textwrap.dedent(OPEN_20).replace(*change)
    with pytest.raises(UserError) as refused:
        scenario(events)
    assert re.search(message, refused.value.faults[0])
