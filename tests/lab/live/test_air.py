"""Faults of the modelled network that somebody injects into a living lab: whom they hit, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from lab.errors import UserError
from lab.live.air import MOST_AT_ONCE, AirInjector
from lab.live.asked import CellDown, Congestion, Injection, Jam, OperatorOutage, Wanted
from lab.live.incidents import Incident, Incidents
from lab.lockstep.pace import Agenda
from tests.lab.scenario.test_air_targets import airspace

NOW_S = 1_768_435_200
ASKED: TypeAdapter[Wanted] = TypeAdapter(Injection)


class Lab:
    def __init__(self, preset: str | None = "bakeoff") -> None:
        self.agenda = Agenda()
        self.incidents = Incidents(self.agenda)
        self.injector = AirInjector(None if preset is None else airspace(preset), self.incidents, seed=7)

    def inject(self, at_s: int = NOW_S, **body: Any) -> Incident:
        # As it comes over HTTP, where a number may be none.
        wanted = ASKED.validate_json(json.dumps(body))
        assert isinstance(wanted, Jam | CellDown | Congestion | OperatorOutage)
        return self.injector.inject(wanted, at_s, "injected")

    def refused(self, **body: Any) -> list[str]:
        before = len(self.incidents)
        with pytest.raises(UserError) as error:
            self.inject(**body)
        assert len(self.incidents) == before
        assert error.value.hint
        return list(error.value.faults)


@pytest.fixture
def lab() -> Lab:
    return Lab()


def mesh() -> str:
    return next(iter(airspace().meshes()))


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"kind": "jam", "stations": [mesh()], "strength": 0.5}, {"collectors": [mesh()], "strength": 0.5}),
        ({"kind": "jam", "collectors": len(airspace().meshes())}, {"collectors": sorted(airspace().meshes())}),
        ({"kind": "operator-outage", "operator": "operator-b"}, {"operators": ["operator-b"]}),
        (
            {"kind": "congestion", "cells": list(airspace().by_cell())[:2], "messages_per_s": 80},
            {"cells": list(airspace().by_cell())[:2], "messages_per_s": 80.0},
        ),
    ],
)
def test_meters_are_told_of_it_until_it_is_over(lab: Lab, body: dict[str, Any], told: dict[str, Any]) -> None:
    made = lab.inject(**body, for_s=600)
    kind = {"fault": body["kind"], "name": "injected 0", "from_s": NOW_S, "until_s": NOW_S + 600}
    begun, ended = lab.agenda.take(NOW_S + 600)
    assert begun.air == {**kind, **told}
    assert (begun.at_s, ended.at_s) == (NOW_S, NOW_S + 600)
    assert made.disturbance.label.startswith(f"network: {body['kind']} of ")
    assert not lab.incidents.active(NOW_S + 600)


def test_what_has_no_end_lasts_until_it_is_restored(lab: Lab) -> None:
    made = lab.inject(kind="cell-down", count=2)
    assert len(made.disturbance.hit) == 2
    assert lab.incidents.active(NOW_S + 10**9) == [made]
    lab.incidents.end(made.number, NOW_S + 60)
    assert [action.air and action.air.get("until_s") for action in lab.agenda.take(NOW_S + 10**9)] == [
        None,
        NOW_S + 60,
    ]


def test_a_jam_around_a_meter_hits_those_near_it(lab: Lab) -> None:
    space = airspace()
    serial = space.fleet.meters[space.meshes()[mesh()][3]].serial
    made = lab.inject(kind="jam", radius_m=90, around=serial)
    assert f"90 m around {serial}" in made.disturbance.label
    assert made.disturbance.air is not None
    assert made.disturbance.air["radius_m"] == 90.0


def test_what_is_disturbed_already_is_refused_by_name_and_others_are_drawn(lab: Lab) -> None:
    first = lab.inject(kind="operator-outage")
    second = lab.inject(kind="operator-outage")
    assert {*first.disturbance.hit, *second.disturbance.hit} == {"operator-a", "operator-b"}
    assert lab.refused(kind="operator-outage", operator="operator-a") == ["operator-a is out already"]
    (either,) = lab.refused(kind="operator-outage")
    assert either.endswith(" is out already")
    # Another fault may hit the same.
    cell = next(cell for cell in airspace().by_cell() if cell.startswith("operator-a"))
    lab.inject(kind="cell-down", cells=[cell])
    assert lab.refused(kind="cell-down", cells=[cell, "operator-z/cell-E9N9"]) == [
        "no cell that serves a meter is called operator-z/cell-E9N9"
    ]
    lab.incidents.end(first.number, NOW_S + 10)
    lab.inject(NOW_S + 10, kind="operator-outage", operator=first.disturbance.hit[0])


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({"kind": "jam", "stations": ["COL9999", mesh(), "<b>"]}, ["COL9999", "<b>"]),
        ({"kind": "jam", "radius_m": 50, "around": "AMI99999999"}, ["AMI99999999"]),
        ({"kind": "cell-down", "cells": ["operator-a"]}, ["operator-a"]),
        ({"kind": "operator-outage", "operator": "operator-a/cell-E0N0"}, ["operator-a/cell-E0N0"]),
        ({"kind": "cell-down", "count": 10_000_000}, ["10,000,000 are wanted, but only"]),
        ({"kind": "jam", "collectors": 99}, ["99 are wanted, but only"]),
    ],
)
def test_what_there_is_not_is_refused_by_name(lab: Lab, body: dict[str, Any], faults: list[str]) -> None:
    said = lab.refused(**body)
    assert len(said) == len(faults)
    assert all(part in fault for part, fault in zip(faults, said, strict=True))


@pytest.mark.parametrize(
    ("preset", "body", "saying"),
    [
        (None, {"kind": "jam"}, "no communications network is modelled in this lab"),
        (None, {"kind": "operator-outage"}, "no communications network is modelled in this lab"),
        ("cellular", {"kind": "jam"}, "no meter of this fleet is in a radio mesh"),
        ("plc", {"kind": "jam", "radius_m": 10}, "no meter of this fleet is in a radio mesh"),
        ("mesh", {"kind": "operator-outage"}, "no meter of this fleet has a modem"),
        ("mesh", {"kind": "congestion", "messages_per_s": 1}, "no meter of this fleet has a modem"),
    ],
)
def test_a_lab_that_has_no_such_network_says_so(preset: str | None, body: dict[str, Any], saying: str) -> None:
    (said,) = Lab(preset).refused(**body)
    assert saying in said


def test_no_more_than_so_many_are_active_at_once(lab: Lab) -> None:
    """Each would weigh on every process of meters, for everybody."""
    made = [lab.inject(kind="jam", radius_m=number + 1) for number in range(MOST_AT_ONCE)]
    (said,) = lab.refused(kind="jam", radius_m=1)
    assert said == f"{MOST_AT_ONCE} faults of the network are active, and no more can be"
    lab.incidents.end(made[0].number, NOW_S + 1)
    lab.inject(NOW_S + 1, kind="jam", radius_m=1)


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "jam", "strength": float("nan")},
        {"kind": "jam", "strength": float("inf")},
        {"kind": "jam", "strength": 0},
        {"kind": "jam", "strength": -1},
        {"kind": "jam", "strength": 1.0001},
        {"kind": "jam", "radius_m": 0},
        {"kind": "jam", "radius_m": 1e300},
        {"kind": "jam", "radius_m": 10, "collectors": 1},
        {"kind": "jam", "around": "AMI00000001"},
        {"kind": "jam", "stations": ["COL0001"] * 1_001},
        {"kind": "jam", "stations": ["x" * 81]},
        {"kind": "jam", "stations": ["a\nb"]},
        {"kind": "jam", "for_s": 10 * 365 * 86_400},
        {"kind": "jam", "for_s": 0},
        {"kind": "jam", "centre_m": [0, 0], "radius_m": 10},
        {"kind": "jam", "from_s": 0},
        {"kind": "jam", "name": "event 1"},
        {"kind": "cell-down", "cells": ["operator-a/cell-E0N0"] * 1_000_000},
        {"kind": "cell-down", "cells": ["operator-a/cell-E0N0"], "count": 1},
        {"kind": "cell-down", "count": 10**30},
        {"kind": "congestion"},
        {"kind": "congestion", "messages_per_s": float("nan")},
        {"kind": "congestion", "messages_per_s": 1e7},
        {"kind": "operator-outage", "operator": ["operator-a"]},
    ],
    ids=lambda body: json.dumps(body)[:60],
)
def test_what_would_harm_others_is_not_taken(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ASKED.validate_json(json.dumps(body))
