"""What disturbs a lab, and the agenda that follows from it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.live.incidents import Incidents
from lab.lockstep.pace import Agenda
from lab.lockstep.timeline import Action, Disturbance
from lab.scenario.relay_targets import opened_relays

FAULT = Disturbance("outage", "fault: transformer T1", 100, 100, "transformer T1")
LOSS = Disturbance("uplink_loss", "uplink loss: COL1", 50, 400, stations=("COL1",))


@pytest.fixture
def agenda() -> Agenda:
    return Agenda()


@pytest.fixture
def incidents(agenda: Agenda) -> Incidents:
    return Incidents(agenda)


def test_what_has_no_end_lasts_until_it_is_ended(agenda: Agenda, incidents: Incidents) -> None:
    fault = incidents.add(FAULT, "injected", open_ended=True)
    assert agenda.take(10_000) == [Action(100, "open", "transformer T1")]
    assert not incidents.active(99)
    assert incidents.active(10_000) == [fault]
    incidents.end(fault.number, 10_500)
    assert agenda.take(20_000) == [Action(10_500, "close", "transformer T1")]
    assert incidents.active(10_500) == []
    assert [each.number for each in incidents.over(10_000, 10_500)] == [fault.number]


def test_what_is_ended_early_does_not_end_again(agenda: Agenda, incidents: Incidents) -> None:
    loss = incidents.add(LOSS, "scenario")
    agenda.take(60)
    incidents.end(loss.number, 70)
    assert agenda.take(10_000) == [Action(70, "restore_uplink", "", ("COL1",))]
    assert incidents.disturbances()[0].until_s == 70


@pytest.mark.parametrize("lost", [FAULT, replace(LOSS, from_s=100, until_s=100), replace(LOSS, from_s=100)])
def test_what_is_ended_at_the_instant_of_its_beginning_never_begins(
    agenda: Agenda, incidents: Incidents, lost: Disturbance
) -> None:
    """At one instant what ends comes first: it would begin after its end, and last for ever."""
    incident = incidents.add(lost, "injected", open_ended=lost.until_s == lost.from_s)
    assert incidents.end(incident.number, 100).disturbance.label == lost.label
    assert agenda.take(10_000) == []
    assert incidents.active(100) == []
    assert incidents.disturbances() == [], "it has never been"


def test_what_has_not_begun_can_be_cancelled(agenda: Agenda, incidents: Incidents) -> None:
    loss = incidents.add(LOSS, "exercise")
    incidents.cancel(loss.number)
    assert agenda.take(10_000) == []
    assert incidents.disturbances() == []
    assert incidents.add(FAULT, "injected").number == loss.number + 1, "numbers are never given twice"


def test_what_is_held_comes_only_if_it_is_added_again(agenda: Agenda, incidents: Incidents) -> None:
    incidents.add(LOSS, "scenario")
    active = incidents.add(FAULT, "injected", open_ended=True)
    agenda.take(60)
    later = incidents.add(Disturbance("kill", "SIGKILL: broker", 500, 560, "broker"), "scenario")
    assert incidents.hold(120) == [later]
    assert incidents.active(120) == [incidents.get(1), active]
    assert [action.verb for action in agenda.take(10_000)] == ["open", "restore_uplink"]
    incidents.add(later.disturbance, later.origin)
    assert [action.verb for action in agenda.take(10_000)] == ["kill", "return"]


def test_at_the_end_nothing_begins_any_more_and_everything_is_restored(agenda: Agenda, incidents: Incidents) -> None:
    loss = incidents.add(LOSS, "scenario")
    incidents.add(FAULT, "scenario", open_ended=True)
    agenda.take(60)
    assert incidents.wind_up(60, 90) == [incidents.get(loss.number)]
    assert agenda.take(10_000) == [Action(90, "restore_uplink", "", ("COL1",))]
    assert [(each.kind, each.from_s, each.until_s) for each in incidents.disturbances()] == [("uplink_loss", 50, 90)]


def test_what_is_over_by_then_keeps_its_own_end(agenda: Agenda, incidents: Incidents) -> None:
    incidents.add(LOSS, "scenario")
    agenda.take(60)
    assert incidents.wind_up(60, 900) == []
    assert agenda.take(10_000) == [Action(400, "restore_uplink", "", ("COL1",))]


def test_a_disconnection_is_restored_and_a_reconnection_is_not_undone(agenda: Agenda, incidents: Incidents) -> None:
    opened = Disturbance("relay", "", 50, 50, "open", ("A", "B"), lasting=True)
    closed = Disturbance("relay", "", 60, 60, "closed", ("B",), lasting=True)
    for relay in (opened, closed):
        incidents.add(relay, "injected", open_ended=relay.open_ended)
    assert agenda.take(60) == [
        Action(50, "open_relay", "open", ("A", "B")),
        Action(60, "close_relay", "closed", ("B",)),
    ]
    (lasting,) = incidents.active(60)
    assert opened_relays(incidents.disturbances(), 55) == {"A", "B"}
    assert opened_relays(incidents.disturbances(), 60) == {"A"}
    incidents.end(lasting.number, 60)
    assert agenda.take(100) == [Action(60, "close_relay", "open", ("A", "B"))]
    assert opened_relays(incidents.disturbances(), 100) == set()


def test_a_relay_that_is_moved_again_is_no_more_as_an_earlier_one_left_it(agenda: Agenda, incidents: Incidents) -> None:
    first = incidents.add(relay("open", 50, "A"), "injected", open_ended=True)
    hour = incidents.add(relay("open", 50, "B", "C", until_s=3_650), "injected")
    agenda.take(50)
    for position, at_s, serials in (("closed", 60, ("A", "B")), ("open", 70, ("A",))):
        moved = relay(position, at_s, *serials)
        incidents.take_over(serials, at_s)
        incidents.add(moved, "injected", open_ended=moved.open_ended)
    agenda.take(70)
    assert [each.number for each in incidents.over(50, 60)] == [first.number]
    assert [each.disturbance.stations for each in incidents.active(70)] == [("C",), ("A",)]
    assert opened_relays(incidents.disturbances(), 70) == {"A", "C"}
    assert agenda.take(10_000) == [Action(3_650, "close_relay", "open", ("C",))]
    assert [each.number for each in incidents.over(70, 10_000)] == [hour.number]


@pytest.mark.parametrize("lasting", [True, False])
def test_the_end_of_a_fault_of_the_network_is_told_when_somebody_ends_it(
    agenda: Agenda, incidents: Incidents, lasting: bool
) -> None:
    planned = {} if lasting else {"until_s": 400}
    jam = {"fault": "jam", "name": "injected 0", "collectors": ["COL1"]}
    fault = Disturbance("network", "network: jam", 100, 100 if lasting else 400, "jam", air=jam, lasting=lasting)
    injected = incidents.add(fault, "injected", open_ended=lasting)
    assert agenda.take(150) == [Action(100, "disturb_network", "jam", air={**jam, "from_s": 100, **planned})]
    assert incidents.active(350) == [injected]
    incidents.end(injected.number, 200)
    ended = {**jam, "from_s": 100, "until_s": 200}
    assert agenda.take(10_000) == [Action(200, "restore_network", "jam", air=ended)]
    (lived,) = incidents.disturbances()
    assert (lived.until_s, lived.hit) == (200, ["COL1"])


def relay(position: str, from_s: int, *serials: str, until_s: int | None = None) -> Disturbance:
    return Disturbance("relay", "", from_s, until_s or from_s, position, serials, lasting=until_s is None)
