"""Whom events hit: on feeders that have what the scenario asks for, and on such as are too small for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandapower as pp
import pytest

from lab.errors import UserError
from lab.fleet.commissioning import commission
from lab.fleet.geography import Place
from lab.fleet.presets import PRESETS
from lab.fleet.vendors import vendor_mix
from lab.lockstep.link import Reply
from lab.lockstep.timeline import Disturbance, actions
from lab.parts.grid import GridPart
from lab.scenario.load import Scenario, anchored_feeder, load_scenario, parse_scenario
from lab.scenario.targets import APART_S, choose_targets

START_S = 1_768_435_200


@dataclass(slots=True)
class DirectLink:
    """The grid part in this process: calls its handlers without a socket."""

    part: GridPart = field(default_factory=GridPart)

    async def call(self, _name: str, verb: str, **body: Any) -> Reply:
        answer, _ = await self.part.handlers()[verb](body, ())
        return Reply(_name, verb, answer)


def street(directory: Path, houses: int) -> str:
    """A transformer with one cable to each house, as a file."""
    net = pp.create_empty_network()
    medium, low = pp.create_bus(net, 20.0), pp.create_bus(net, 0.4)
    pp.create_ext_grid(net, medium)
    pp.create_transformer(net, medium, low, "0.25 MVA 20/0.4 kV", name="T")
    for house in range(houses):
        bus = pp.create_bus(net, 0.4)
        pp.create_line(net, low, bus, 0.05, "NAYY 4x150 SE", name=f"cable {house}")
        pp.create_load(net, bus, p_mw=0.001, name=f"house {house}")
    path = directory / "street.json"
    pp.to_json(net, str(path))
    return f"file:{path}"


async def targets(
    scenario: Scenario, feeder: str, meters: int | None = None, preset: str = "cellular"
) -> tuple[list[Disturbance], set[str]]:
    link = DirectLink()
    reply = await link.call("grid", "init", feeder=feeder, seed=scenario.seed, start_s=START_S, flow="three-phase")
    points: Sequence[str] = reply.body["usage_points"][:meters]
    places = [Place(*place) for place in reply.body["places"][:meters]]
    mix = vendor_mix(PRESETS[preset].shares)
    fleet = commission(points, places, mix, group="g", seed=scenario.seed, new_gateway=lambda: "127.0.0.1:1502")
    chosen = await choose_targets(scenario, start_s=START_S, link=link, grid="grid", fleet=fleet)  # type: ignore[arg-type]  # only `call` is used
    return chosen, {meter.serial for meter in fleet.meters}


async def test_quickstart_on_its_own_feeder_is_as_it_is_written() -> None:
    scenario = load_scenario("quickstart")
    chosen, serials = await targets(scenario, "schutterwald", preset="bakeoff")
    assert not any("(" in each.label for each in chosen)
    collector, meters = (each for each in chosen if each.kind == "uplink_loss")
    (name,) = collector.stations
    assert name.startswith("COL")
    assert collector.label.startswith(f"uplink loss: collector {name}, ")
    assert len(meters.stations) == 60
    assert set(meters.stations) < serials


FAILURE = """
[scenario]
name = "n"
start = 2026-01-15T00:00:00Z
duration = "4h"
seed = 7
[feeder]
name = "schutterwald"
[fleet]
preset = "mesh"
[[event]]
at = "01:00"
kind = "collector_failure"
duration = "45min"
select = { collectors = 1 }
"""


async def test_a_collector_that_dies_is_one_of_those_that_nothing_else_hits() -> None:
    _, _, event = FAILURE.partition("[[event]]")
    text = FAILURE + "[[event]]" + event.replace("collector_failure", "uplink_loss")
    scenario = parse_scenario(text, "file.toml")
    (dead, cut), _ = await targets(scenario, "schutterwald", preset="mesh")
    assert dead.kind == "collector_failure"
    assert dead.label.startswith(f"death of collector {dead.stations[0]}, ")
    assert set(dead.stations).isdisjoint(cut.stations)
    assert [(action.verb, action.at_s - START_S, action.stations) for action in actions([dead])] == [
        ("fail_collectors", 3_600, dead.stations),
        ("mend_collectors", 3_600 + 2_700, dead.stations),
    ]


async def test_a_fleet_without_collectors_has_none_that_could_die() -> None:
    with pytest.raises(UserError, match="no meter of this fleet is behind a collector"):
        await targets(parse_scenario(FAILURE, "file.toml"), "schutterwald", preset="cellular")


async def test_a_fleet_without_collectors_loses_meters_instead() -> None:
    chosen, serials = await targets(load_scenario("quickstart"), "schutterwald")
    instead = next(each for each in chosen if each.kind == "uplink_loss")
    assert instead.label == "uplink loss: 200 meters (this fleet has no collector)"
    assert set(instead.stations) < serials


@pytest.mark.parametrize("houses", [2, 4, 30])
async def test_quickstart_fits_a_street(tmp_path: Path, houses: int) -> None:
    scenario = load_scenario("quickstart")
    chosen, serials = await targets(scenario, street(tmp_path, houses))
    assert len(chosen) == len(scenario.events)
    outages = [each for each in chosen if each.kind == "outage"]
    assert all(each.target.startswith("section ") for each in outages), "the one transformer would darken everybody"
    assert all(", 1 customer (in place of a transformer with 50–200" in outages[row].label for row in (0, 2))
    assert "the nearest to 10–60 customers" in outages[1].label
    instead, loss = (each for each in chosen if each.kind == "uplink_loss")
    assert set(instead.stations) < serials
    assert set(loss.stations) < serials
    if houses == 30:
        assert "(60 asked for; one in 5 of 22 left)" in loss.label
        assert len(loss.stations) == 4
        assert len({each.target for each in outages}) == 3, "nobody is hit twice without need"
    for one in chosen:
        for other in chosen:
            if one is not other and set(one.stations) & set(other.stations):
                assert max(one.from_s, other.from_s) - min(one.until_s, other.until_s) >= APART_S


async def test_an_outage_hits_a_meter(tmp_path: Path) -> None:
    scenario = load_scenario("quickstart")
    chosen, _ = await targets(scenario, street(tmp_path, 30), meters=2)
    outages = [each.target for each in chosen if each.kind == "outage"]
    assert len(set(outages)) == 2, "three outages, two meters: one is hit twice, and says so"
    assert sum("another event hits, too" in each.label for each in chosen) >= 1


SMALL = """
[scenario]
name = "small"
start = 2026-01-15T00:00:00Z
duration = "2h"
seed = 1
[feeder]
name = "file:nets/street.json"
[fleet]
profile = "rl-dsp"
"""


async def test_events_that_cannot_be_are_all_named(tmp_path: Path) -> None:
    text = SMALL
    for minute in (10, 12):
        text += f'[[event]]\nat = "00:{minute}"\nkind = "reboot"\nselect = {{ meters = 1 }}\n'
    text += (
        '[[event]]\nat = "00:20"\nkind = "outage"\nduration = "5min"\ndevice = "service"\nselect = { id = "none" }\n'
    )
    with pytest.raises(UserError) as error:
        await targets(parse_scenario(text, "small.toml"), street(tmp_path, 1))
    assert [fault.split(":")[0] for fault in error.value.faults] == [
        "event 3 (outage, line 19)",
        "event 2 (reboot, line 15)",
    ]
    assert "take every meter within an hour" in error.value.faults[1]


async def test_a_conductor_is_opened_of_what_is_asked_for(tmp_path: Path) -> None:
    text = SMALL
    asked = (("L2", "line", "customers = [1, 3]"), ("N", "service", 'id = "UP-house_3"'))
    for minute, (conductor, device, select) in enumerate(asked):
        text += f'[[event]]\nat = "0{minute}:20"\nkind = "conductor"\nopen = "{conductor}"\ndevice = "{device}"\n'
        text += f'duration = "10min"\nselect = {{ {select} }}\n'
    chosen, _ = await targets(parse_scenario(text, "small.toml"), street(tmp_path, 30))
    phase, neutral = chosen
    assert (phase.kind, neutral.kind) == ("conductor", "conductor")
    assert phase.target.split()[0] == "line"
    assert phase.target.split()[2] == "L2"
    assert neutral.target == "service UP-house_3 N"
    assert phase.label.startswith("open phase: line ")
    assert neutral.label == "open neutral: service UP-house_3 N, 1 customer"


def test_a_conductor_is_a_phase_or_the_neutral() -> None:
    text = SMALL + '[[event]]\nat = "00:20"\nkind = "conductor"\nopen = "PE"\ndevice = "busbar"\nduration = "9min"\n'
    with pytest.raises(UserError) as error:
        parse_scenario(text, "small.toml")
    faults = "\n".join(error.value.faults)
    assert "open" in faults
    assert "device" in faults
    assert "select" in faults


def test_a_feeders_file_is_seen_from_the_scenarios(tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text(SMALL, encoding="utf-8")
    assert load_scenario(str(path)).feeder.name == f"file:{tmp_path}/nets/street.json"
    assert anchored_feeder("file:/a/b.json", tmp_path) == "file:/a/b.json"
    assert anchored_feeder("simbench:x", tmp_path) == "simbench:x"


async def test_each_conductor_that_cannot_open_alone_is_named(tmp_path: Path) -> None:
    """At medium voltage there is no neutral, and two transformers feed an island of low voltage from both ends."""
    net = pp.create_empty_network()
    source, medium = pp.create_buses(net, 2, 20.0)
    pp.create_ext_grid(net, source)
    pp.create_line(net, source, medium, 1.0, "NA2XS2Y 1x95 RM/25 12/20 kV", name="feeder")
    one, two, own, *houses = pp.create_buses(net, 5, 0.4)
    for bus, name in ((one, "One"), (two, "Two"), (own, "Own")):
        pp.create_transformer(net, medium, bus, "0.25 MVA 20/0.4 kV", name=name)
    for start, end, name in ((one, houses[0], "left"), (two, houses[0], "right"), (own, houses[1], "fine")):
        pp.create_line(net, start, end, 0.1, "NAYY 4x150 SE", name=name)
    for bus in houses:
        pp.create_load(net, bus, p_mw=0.001)
    path = tmp_path / "meshed.json"
    pp.to_json(net, str(path))
    events = "".join(
        f'[[event]]\nat = "00:{minute}"\nkind = "conductor"\nopen = "{conductor}"\ndevice = "{kind}"\n'
        f'duration = "5min"\nselect = {{ id = "{name}" }}\n'
        for minute, conductor, kind, name in (
            ("05", "L1", "line", "feeder"), ("15", "L2", "line", "left"), ("25", "N", "transformer", "Two"),
            ("35", "L3", "line", "fine"),
        )
    )  # fmt: skip
    text = (
        '[scenario]\nname = "x"\nstart = 2026-01-15T00:00:00Z\nduration = "1h"\nseed = 7\n'
        '[feeder]\nname = "schutterwald"\n[fleet]\nprofile = "rl-dsp"\n'
    )
    with pytest.raises(UserError) as error:
        await targets(parse_scenario(text + events, "x.toml"), f"file:{path}")
    named = [fault.split(" has no conductors that open one by one")[0] for fault in error.value.faults]
    assert [each.partition("): ")[2] for each in named] == ["line 'feeder'", "line 'left'", "transformer 'Two'"]
