"""Faults of the modelled network: what a scenario may ask for, and whom it hits."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from lab.errors import UserError
from lab.fleet.commissioning import commission
from lab.fleet.geography import Place
from lab.fleet.network import network_setup, with_cells
from lab.fleet.presets import PRESETS
from lab.fleet.vendors import vendor_mix
from lab.lockstep.link import Body
from lab.lockstep.timeline import Disturbance
from lab.scenario.air_targets import AirFault, Airspace
from lab.scenario.load import NetworkEvent, RadioEvent, Scenario, parse_scenario
from meters.radio.parameters import load_parameters

COUNT = 600
HEAD = """
[scenario]
name = "n"
start = 2026-01-15T00:00:00Z
duration = "4h"
seed = 1
[feeder]
name = "schutterwald"
[fleet]
preset = "bakeoff"
"""


def event(**keys: object) -> str:
    given = {"at": '"01:00:00"', "kind": '"network"', "duration": '"30min"', **keys}
    return "[[event]]\n" + "".join(f"{name} = {value}\n" for name, value in given.items())


def read(text: str) -> Scenario:
    return parse_scenario(HEAD + text, "file.toml")


@cache
def airspace(preset: str = "bakeoff") -> Airspace:
    places = [Place(8.0 + 0.0004 * (row % 40), 48.0 + 0.0006 * (row // 40), f"T{row // 200}") for row in range(COUNT)]
    fleet = commission(
        [f"UP{row}" for row in range(COUNT)],
        places,
        vendor_mix(PRESETS[preset].shares),
        group="g",
        seed=7,
        new_gateway=lambda: "127.0.0.1:1502",
    )
    setup = network_setup(places, {}, time_zone="Europe/Berlin", start_s=1_768_435_200)
    return Airspace(fleet, *with_cells(setup, fleet.meters, range(COUNT), seed=7))


def hit(text: str, *, preset: str = "bakeoff", taken: tuple[str, ...] = (), seed: int = 7) -> Disturbance:
    (found,) = read(text).events
    assert isinstance(found, RadioEvent)
    return disturbed(AirFault.of(found), preset=preset, taken=taken, seed=seed)


def disturbed(
    wanted: AirFault, *, preset: str = "bakeoff", taken: tuple[str, ...] = (), seed: int = 7, until_s: int | None = 200
) -> Disturbance:
    space = airspace(preset)
    return space.disturbance(wanted, name="event 1", seed=[seed, 0], from_s=100, until_s=until_s, taken=taken)


def air(found: Disturbance) -> Body:
    """What the meters are told of it."""
    assert found.air is not None
    return found.air


def test_a_jam_is_of_whole_meshes_that_no_other_event_hits() -> None:
    space = airspace()
    found = hit(event(fault='"jam"', select="{ collectors = 1 }", strength=0.7))
    (name,) = air(found)["collectors"]
    assert air(found) == {"fault": "jam", "name": "event 1", "collectors": [name], "strength": 0.7}
    taken = tuple(space.fleet.meters[row].usage_point for row in space.fleet.carriers[name][:1])
    meshes = {rows[0] for rows in space.fleet.carriers.values() if "mesh" in space.fleet.meters[rows[0]].profile.name}
    others = {air(hit(event(fault='"jam"'), taken=taken, seed=seed))["collectors"][0] for seed in range(20)}
    assert (name in others) == (len(meshes) == 1)
    assert f"of mesh {name}, {len(space.fleet.carriers[name])} meters" in found.label


def test_a_jam_is_of_those_within_a_radius() -> None:
    space = airspace()
    found = hit(event(fault='"jam"', select="{ radius_m = 90 }"))
    assert air(found)["radius_m"] == 90
    near = np.hypot(*(space.setup.positions() - air(found)["centre_m"]).T) <= 90
    in_mesh = [row for row in np.flatnonzero(near).tolist() if "mesh" in space.fleet.meters[row].profile.name]
    assert in_mesh
    centre = int(np.hypot(*(space.setup.positions() - air(found)["centre_m"]).T).argmin())
    assert f"90 m around {space.fleet.meters[centre].serial}, {len(in_mesh)} " in found.label


def test_cells_and_operators_are_those_that_serve_somebody() -> None:
    space = airspace()
    down = hit(event(fault='"cell-down"', select="{ cells = 2 }"))
    full = hit(event(fault='"congestion"', messages_per_s=80))
    out = hit(event(fault='"operator-outage"'))
    assert len(air(down)["cells"]) == 2
    assert {*air(down)["cells"], *air(full)["cells"]} <= set(space.cells) - {""}
    assert air(full)["messages_per_s"] == 80
    assert {cell.partition("/")[0] for cell in space.cells if cell} >= set(air(out)["operators"])
    own = sum(cell.startswith(air(out)["operators"][0] + "/") for cell in space.cells)
    assert f"{own} meters" in out.label


def test_only_who_has_a_modem_is_in_a_cell_and_members_are_rows_of_frames() -> None:
    space = airspace()
    for meter, cell in zip(space.fleet.meters, space.cells, strict=True):
        assert bool(cell) == (not meter.address)
    assert sorted(row for rows in space.setup.members.values() for row in rows) == [
        row for row, cell in enumerate(space.cells) if cell
    ]


@pytest.mark.parametrize("preset", ["mesh", "plc"])
def test_a_firmware_wave_is_for_all_meters_of_collectors_whatever_else_hits_them(preset: str) -> None:
    space = airspace(preset)
    everybody = tuple(meter.usage_point for meter in space.fleet.meters)
    found = hit(event(fault='"firmware-wave"', select="{ collectors = 99 }"), preset=preset, taken=everybody)
    usual = load_parameters().firmware.image_bytes
    assert air(found) == {
        "fault": "firmware-wave", "name": "event 1", "collectors": sorted(space.fleet.collectors), "image_bytes": usual,
    }  # fmt: skip
    assert f"{usual:,} byte" in found.label
    assert f"{COUNT:,} meters" in found.label
    one = air(hit(event(fault='"firmware-wave"', image_bytes=5_000), preset=preset))
    assert len(one["collectors"]) == 1
    assert one["image_bytes"] == 5_000


def test_the_same_seed_hits_the_same() -> None:
    text = event(fault='"cell-down"')
    assert hit(text) == hit(text)


@pytest.mark.parametrize(
    ("preset", "fault", "saying"),
    [
        ("cellular", '"jam"', "no meter of this fleet is in a radio mesh"),
        ("plc", '"jam"', "no meter of this fleet is in a radio mesh"),
        ("mesh", '"cell-down"', "no meter of this fleet has a modem"),
        ("mesh", '"operator-outage"', "no meter of this fleet has a modem"),
        (
            "cellular",
            '"firmware-wave"',
            "no meter of this fleet is behind a collector; a meter with a modem of its own",
        ),
    ],
)
def test_a_fleet_that_has_nobody_to_hit_is_told(preset: str, fault: str, saying: str) -> None:
    with pytest.raises(ValueError, match=saying):
        hit(event(fault=fault), preset=preset)


@pytest.mark.parametrize(
    ("keys", "saying"),
    [
        ({"fault": '"jam"', "select": "{ cells = 1 }"}, "not selected by 'cells', but by `collectors` or `radius_m`"),
        ({"fault": '"cell-down"', "select": "{ collectors = 1 }"}, "but by `cells`"),
        ({"fault": '"operator-outage"', "select": "{ cells = 1 }"}, "leave out 'select'"),
        ({"fault": '"cell-down"', "strength": 0.5}, "takes no 'strength'"),
        ({"fault": '"congestion"'}, "needs 'messages_per_s'"),
        ({"fault": '"jam"', "messages_per_s": 5}, "takes no 'messages_per_s'"),
        ({"fault": '"jam"', "image_bytes": 5}, "takes no 'image_bytes'"),
        ({"fault": '"firmware-wave"', "image_bytes": 0}, "'image_bytes' is 0"),
        ({"fault": '"firmware-wave"', "select": "{ radius_m = 9 }"}, "not selected by 'radius_m', but by `collectors`"),
        ({"fault": '"jam"', "strength": 1.5}, "'strength' is 1.5"),
        ({"fault": '"jam"', "select": "{ radius_m = 0 }"}, "'radius_m' is 0"),
        ({"fault": '"jam"', "select": "{ meters = 3 }"}, "write select = { collectors = 1 }"),
        ({"fault": '"jam"', "part": '"fleet"'}, "'part' is unknown"),
        ({"fault": '"jamm"'}, "'jamm'"),
    ],
)
def test_what_is_wrong_is_said(keys: dict[str, object], saying: str) -> None:
    with pytest.raises(UserError) as error:
        read(event(**keys))
    assert any(saying in fault for fault in error.value.faults), error.value.faults


def test_the_form_for_containers_stays() -> None:
    (found,) = read(
        '[[event]]\nat = "01:00:00"\nkind = "network"\npart = "fleet"\nfault = "pause"\nwall = "5s"\n'
    ).events
    assert isinstance(found, NetworkEvent)
