"""What `docker compose up` shows: a scenario in today's time, each day anew, and never beside a run."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from lab.containers.conducting import claim_to_conduct, until_nobody_conducts
from lab.containers.demonstration import DAYS, SCENARIO, Demonstration, in_todays_time
from lab.containers.state import Owner, make_state
from lab.errors import UserError
from lab.lockstep.timeline import Disturbance
from lab.run.companion import Scene
from lab.scenario.events import KillEvent, NetworkEvent, RotateEvent, UpdateEvent
from lab.scenario.load import load_scenario

REPOSITORY = Path(__file__).parents[3]
NOW_S = 1_795_876_543  # 2026-11-28 14:35:43
HOUR_S, DAY_S = 3600, 86_400


def scene(start_s: int, *disturbances: Disturbance) -> Scene:
    return cast(Scene, SimpleNamespace(start_s=start_s, disturbances=disturbances))


@pytest.mark.parametrize("now_s", [NOW_S, NOW_S // HOUR_S * HOUR_S, NOW_S // HOUR_S * HOUR_S + 3599.9])
def test_it_begins_so_that_the_last_24_hours_are_full(now_s: float) -> None:
    begun = in_todays_time(load_scenario(SCENARIO), now_s)
    assert begun.start_s % HOUR_S == 0
    assert DAY_S <= now_s - begun.start_s < DAY_S + HOUR_S


def test_it_asks_nothing_of_docker() -> None:
    """Whoever conducts from within has no say over containers, and networks, keys and processes are left alone."""
    events = load_scenario(SCENARIO).events
    assert not [event for event in events if isinstance(event, KillEvent | NetworkEvent | RotateEvent | UpdateEvent)]


async def test_what_happens_happens_each_day_at_the_same_time() -> None:
    start_s = NOW_S - DAY_S
    outage = Disturbance("outage", "a transformer is out", start_s + 600, start_s + 1200, "transformer T1")
    shown = Demonstration(lambda _text: None, clock=lambda: NOW_S)
    async with shown.attend(scene(start_s, outage)):
        due = shown.agenda.take(start_s + DAYS * DAY_S)
    assert [action.verb for action in due] == ["open", "close"] * DAYS
    assert [action.at_s - start_s for action in due[::2]] == [600 + day * DAY_S for day in range(DAYS)]
    assert shown.agenda.next_s() is None, "nothing ends it from within simulated time"


async def test_it_tells_when_it_has_caught_up_and_is_over_after_a_week() -> None:
    told: list[str] = []
    shown = Demonstration(told.append, clock=lambda: NOW_S)
    start_s = NOW_S - DAY_S
    async with shown.attend(scene(start_s)):
        # The last instant at which something is to be done may lie a while back.
        for instant_s in (start_s + HOUR_S, NOW_S - 700):
            assert await shown.pace.reach(instant_s)
            await shown.at(instant_s)
            assert not [line for line in told if "real time" in line]
        waiting = asyncio.create_task(shown.pace.reach(NOW_S + 200))
        await asyncio.sleep(0)
        assert [line for line in told if "real time" in line]
        waiting.cancel()
        await shown.at(start_s + DAYS * DAY_S - 1)
        assert not shown.over.is_set()
        await shown.at(start_s + DAYS * DAY_S)
        assert shown.over.is_set()


def test_two_do_not_conduct_at_once(tmp_path: Path) -> None:
    owner = Owner(1000, 1000)
    make_state(tmp_path, owner)
    with claim_to_conduct(tmp_path, owner), pytest.raises(UserError, match="another run is under way"):
        claim_to_conduct(tmp_path, owner)
    claim_to_conduct(tmp_path, owner).close()


async def test_the_demonstration_waits_for_a_run_and_says_so(tmp_path: Path) -> None:
    owner = Owner(1000, 1000)
    make_state(tmp_path, owner)
    told: asyncio.Queue[str] = asyncio.Queue()
    with claim_to_conduct(tmp_path, owner):
        waiting = asyncio.create_task(until_nobody_conducts(tmp_path, owner, told.put_nowait))
        assert "begins when it is over" in await told.get()
        assert not waiting.done()
    await waiting
    assert told.empty()


def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((REPOSITORY / "compose" / "compose.yaml").read_text())["services"]
    return found


def test_docker_compose_up_and_build_include_the_conductor() -> None:
    conductor = services()["conductor"]
    assert "profiles" not in conductor
    assert conductor["build"]["target"] == "lab"
    assert conductor["command"] == ["compose", "demonstrate"]


def test_the_conductor_has_no_say_over_docker() -> None:
    conductor = services()["conductor"]
    assert not [volume for volume in conductor["volumes"] if "docker.sock" in volume]
    assert "entry" not in conductor["networks"], "nobody outside reaches it"
    assert "ports" not in conductor
    assert "./secrets:/project/secrets:ro" in conductor["volumes"]
