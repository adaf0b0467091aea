"""Whom events hit: on feeders that have what the scenario asks for, and on such as are too small for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandapower as pp
import pytest

from lab.errors import UserError
from lab.link import Body
from lab.parts.grid import GridPart
from lab.scenario import Scenario, anchored_feeder, load_scenario, parse_scenario
from lab.targets import APART_S, choose_targets
from lab.timeline import Disturbance

START_S = 1_768_435_200


@dataclass(slots=True)
class Reply:
    body: Body


@dataclass(slots=True)
class DirectLink:
    """The grid part in this process: calls its handlers without a socket."""

    part: GridPart = field(default_factory=GridPart)

    async def call(self, _name: str, verb: str, **body: Any) -> Reply:
        answer, _ = await self.part.handlers()[verb](body, ())
        return Reply(answer)


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


async def targets(scenario: Scenario, feeder: str, meters: int | None = None) -> tuple[list[Disturbance], set[str]]:
    link = DirectLink()
    reply = await link.call("grid", "init", feeder=feeder, seed=scenario.seed, start_s=START_S)
    points: Sequence[str] = reply.body["usage_points"][:meters]
    serial_of = {point: f"M-{point}" for point in points}
    chosen = await choose_targets(scenario, start_s=START_S, link=link, grid="grid", serial_of=serial_of)  # type: ignore[arg-type]  # only `call` is used
    return chosen, set(serial_of.values())


async def test_quickstart_on_its_own_feeder_is_as_it_is_written() -> None:
    scenario = load_scenario("quickstart")
    chosen, _ = await targets(scenario, "schutterwald")
    assert not any("(" in each.label for each in chosen)
    assert [len(each.serials) for each in chosen if each.kind == "uplink_loss"] == [60]


@pytest.mark.parametrize("houses", [2, 4, 30])
async def test_quickstart_fits_a_street(tmp_path: Path, houses: int) -> None:
    scenario = load_scenario("quickstart")
    chosen, serials = await targets(scenario, street(tmp_path, houses))
    assert len(chosen) == len(scenario.events)
    outages = [each for each in chosen if each.kind == "outage"]
    assert all(each.target.startswith("section ") for each in outages), "the one transformer would darken everybody"
    assert all("1 customers (in place of a transformer with 50–200" in outages[row].label for row in (0, 2))
    assert "the nearest to 10–60 customers" in outages[1].label
    (loss,) = [each for each in chosen if each.kind == "uplink_loss"]
    assert set(loss.serials) < serials
    if houses == 30:
        assert "(60 asked for; one in 5 of 27 left)" in loss.label
        assert len(loss.serials) == 5
        assert len({each.target for each in outages}) == 3, "nobody is hit twice without need"
    for one in chosen:
        for other in chosen:
            if one is not other and set(one.serials) & set(other.serials):
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


def test_a_feeders_file_is_seen_from_the_scenarios(tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text(SMALL, encoding="utf-8")
    assert load_scenario(str(path)).feeder.name == f"file:{tmp_path}/nets/street.json"
    assert anchored_feeder("file:/a/b.json", tmp_path) == "file:/a/b.json"
    assert anchored_feeder("simbench:x", tmp_path) == "simbench:x"
