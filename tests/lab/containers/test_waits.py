"""Who is waited for is named within ten seconds, with the reason and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.containers.claims import claim_one, is_claimed
from lab.containers.project import Container
from lab.containers.settings import parse_settings
from lab.containers.stage import ContainerStage
from lab.containers.waits import LOOK_EVERY_S, PATIENCE_S, UNREACHED_S, Seen, reason_for
from lab.containers.watch import Watch, Watched
from lab.errors import PartFailed, UserError
from lab.lockstep.link import LabLink

WITHIN_S = 10.0
ADDRESS = "198.18.0.1:7400"
INGEST = Container("aaaaaaaaaaaa", "amilab-headend-ingest-1", "headend-ingest", 1, "running", "healthy", None)
DATABASE = Container("dddddddddddd", "amilab-database-1", "database", 1, "running", "healthy", None)
BROKER = Container("bbbbbbbbbbbb", "amilab-broker-1", "broker", 1, "running", "healthy", None)


class Lab:
    """A run as it is looked at: containers, link and clock, all of them set by the test."""

    def __init__(self, locks: Path) -> None:
        self.project = cast(Any, self)
        self.link = cast(Any, self)
        self.address = f"tcp://{ADDRESS}"
        self.locks = locks
        self.away: set[str] = set()
        self.disturbs = False
        self.now_s = 1000.0
        self.there: list[Container] = [INGEST, DATABASE, BROKER]
        self.present: dict[str, str] = {"ingest-0": INGEST.id}
        self.awaited: dict[str, float] = {}
        self.refusal: str | None = None
        self.starved: list[str] = []
        self.told: list[tuple[float, str]] = []
        self.settings = cast(Any, type("", (), {"lab_subnet": "198.18.0.0/18"}))

    def news(self, text: str) -> None:
        self.told.append((self.now_s, text))

    def life(self, _name: str) -> int:
        return 1

    def host(self, name: str) -> str:
        return self.present[name]

    def drop(self, name: str, *, life: int) -> None:
        assert life == 1
        del self.present[name]
        self.awaited[name] = self.now_s

    def count(self, _service: str) -> int:
        return 3

    async def containers_of(self, services: Sequence[str]) -> dict[str, list[Container]]:
        return {service: [found for found in self.there if found.service == service] for service in services}

    async def out_of_memory(self, _since_s: float) -> list[str]:
        return self.starved

    async def refuse_foreign_state(self, _container: Container) -> None: ...

    async def last_words(self, container: Container) -> list[str]:
        return [f"last words of {container.name}"]

    async def unreached(self, _container: Container, host: str, port: int) -> str | None:
        assert f"{host}:{port}" == ADDRESS
        return self.refusal

    def how_to_look(self, service: str) -> str:
        return f"look at {service}"

    def how_to_bring_back(self, service: str, count: int) -> str:
        return f"bring back {count} {service}"

    async def live(self, watch: Watch, for_s: float) -> None:
        """Look as often as a run does."""
        until_s = self.now_s + for_s
        while self.now_s < until_s:
            await watch.look()
            self.now_s += LOOK_EVERY_S


def lab_and_watch(locks: Path) -> tuple[Lab, Watch]:
    lab = Lab(locks)
    return lab, Watch(cast(Watched, lab), clock=lambda: lab.now_s)


def without(lab: Lab, container: Container) -> None:
    lab.there.remove(container)


def exited(lab: Lab, container: Container) -> None:
    without(lab, container)
    lab.there.append(replace(container, state="exited", health="", exit_code=137))


@pytest.mark.parametrize(
    ("happens", "said"),
    [
        (without, "waiting for ingest-0: the service headend-ingest has no container any more: it was removed."),
        (exited, "waiting for ingest-0: amilab-headend-ingest-1 was killed by signal 9."),
    ],
)
async def test_an_ingest_that_is_gone_is_named_within_ten_seconds(
    tmp_path: Path, happens: Callable[[Lab, Container], None], said: str
) -> None:
    lab, watch = lab_and_watch(tmp_path)
    await lab.live(watch, 4)
    assert lab.told == []
    # Just after a look: the worst case.
    lab.now_s -= LOOK_EVERY_S - 0.1
    gone_s = lab.now_s
    happens(lab, INGEST)
    lab.now_s += LOOK_EVERY_S - 0.1
    await lab.live(watch, 20)
    ((named_s, text),) = lab.told
    assert named_s - gone_s <= WITHIN_S
    assert text == f"{said} bring back 3 headend-ingest"
    assert watch.reasons == [text.removeprefix("waiting for ").removesuffix(". bring back 3 headend-ingest")]
    with pytest.raises(PartFailed, match="ingest-0 did not come back within"):
        await lab.live(watch, PATIENCE_S)


@pytest.mark.parametrize("service", [BROKER, DATABASE], ids=["broker", "database"])
@pytest.mark.parametrize("happens", [without, exited])
async def test_a_broker_or_database_that_is_gone_is_named_unless_the_scenario_killed_it(
    tmp_path: Path, service: Container, happens: Callable[[Lab, Container], None]
) -> None:
    lab, watch = lab_and_watch(tmp_path)
    happens(lab, service)
    lab.away = {service.service}
    await lab.live(watch, 30)
    assert lab.told == []
    lab, watch = lab_and_watch(tmp_path)
    happens(lab, service)
    began_s = lab.now_s
    await lab.live(watch, 30)
    ((named_s, text),) = lab.told
    assert named_s - began_s <= WITHIN_S
    assert text.startswith(f"waiting for {service.service}: ")


async def test_a_database_that_does_not_say_that_it_is_well_is_named_and_ends_no_run(tmp_path: Path) -> None:
    lab, watch = lab_and_watch(tmp_path)
    without(lab, DATABASE)
    lab.there.append(replace(DATABASE, health="unhealthy"))
    await lab.live(watch, 2 * PATIENCE_S)
    assert [text for _, text in lab.told] == ["waiting for database: amilab-database-1 is unhealthy. look at database"]


async def test_a_run_that_is_over_waits_for_nobody(tmp_path: Path) -> None:
    """It is judged, and somebody may have taken the project down meanwhile."""
    lab, watch = lab_and_watch(tmp_path)
    without(lab, DATABASE)
    await lab.live(watch, WITHIN_S)
    assert len(lab.told) == len(watch.reasons) == 1
    watch.is_over = True
    without(lab, BROKER)
    lab.there.append(replace(BROKER, state="restarting", health="", exit_code=1))
    exited(lab, INGEST)
    lab.starved = [INGEST.name]
    await lab.live(watch, 2 * PATIENCE_S)
    assert len(lab.told) == 1
    assert not watch.reasons
    assert not lab.present, "who is told to stop, and is dead, is not waited for"


async def test_a_run_that_stops_its_parts_is_over(tmp_path: Path) -> None:
    settings = parse_settings({"AMILAB_UID": "10001", "AMILAB_GID": "10001"}, "here")
    project, keys = SimpleNamespace(directory=tmp_path, settings=settings), SimpleNamespace(parts={})
    link = LabLink(f"ipc://{tmp_path}/link", run="run-1")
    stage = ContainerStage(cast(Any, project), "run-1", link, cast(Any, keys))
    lab, watch = lab_and_watch(tmp_path)
    without(lab, DATABASE)
    with patch.object(stage, "_watch", watch):
        await stage.stop()
    await lab.live(watch, 2 * WITHIN_S)
    assert lab.told == []
    await link.close()


@pytest.mark.parametrize("by_scenario", [False, True])
async def test_a_part_that_somebody_has_paused_is_named(tmp_path: Path, by_scenario: bool) -> None:
    lab, watch = lab_and_watch(tmp_path)
    without(lab, INGEST)
    lab.there.append(replace(INGEST, state="paused", health=""))
    lab.disturbs = by_scenario
    await lab.live(watch, WITHIN_S)
    said = (
        "waiting for ingest-0: amilab-headend-ingest-1 is paused. Let it go on: docker compose unpause headend-ingest"
    )
    assert [text for _, text in lab.told] == ([] if by_scenario else [said])
    assert set(lab.present) == {"ingest-0"}, "it is taken for gone"


@given(late_s=st.floats(0, LOOK_EVERY_S))
async def test_a_firewall_is_named_with_host_port_and_what_to_do(
    tmp_path_factory: pytest.TempPathFactory, late_s: float
) -> None:
    locks = tmp_path_factory.mktemp("locks")
    (locks / "ingest-0").touch()
    lab, watch = lab_and_watch(locks)
    lab.present.clear()
    lab.awaited["ingest-0"] = lab.now_s - late_s
    lab.refusal = "timed out"
    claim = claim_one(locks, ["ingest-0"])
    assert claim is not None
    with claim:
        with pytest.raises(UserError) as refused:
            await lab.live(watch, UNREACHED_S + 5)
        ((named_s, text),) = lab.told
    assert named_s - lab.awaited["ingest-0"] <= WITHIN_S
    assert f"does not reach this machine at {ADDRESS} (timed out): a firewall is in between" in text
    assert text.endswith("ufw allow proto tcp from 198.18.0.0/18 to any port 7400")
    assert "a firewall is in between" in refused.value.faults[0]


async def test_who_comes_back_in_time_is_not_named_and_whoever_goes_again_is_named_again(tmp_path: Path) -> None:
    lab, watch = lab_and_watch(tmp_path)
    for times in (0, 1, 2):
        without(lab, INGEST)
        await lab.live(watch, LOOK_EVERY_S * (2 if times == 0 else 10))
        assert len(lab.told) == times
        lab.there.append(INGEST)
        lab.present["ingest-0"] = INGEST.id
        lab.awaited.clear()
        await lab.live(watch, LOOK_EVERY_S)


async def test_whoever_sees_no_container_sees_which_part_is_in_none(tmp_path: Path) -> None:
    """As the demonstration, which conducts from within a container."""
    (tmp_path / "ingest-0").touch()
    claim = claim_one(tmp_path, ["ingest-0"])
    assert claim is not None
    lab, watch = lab_and_watch(tmp_path)
    lab.there.clear()
    await lab.live(watch, 60)
    assert lab.told == []
    assert set(lab.present) == {"ingest-0"}
    claim.close()
    gone_s = lab.now_s
    await lab.live(watch, 20)
    ((named_s, text),) = lab.told
    assert named_s - gone_s <= WITHIN_S
    assert text == "waiting for ingest-0: is in no container. look at headend-ingest"


def seen(*states: str, serving: Sequence[str] = (), taken: bool = False) -> Seen:
    containers = [
        Container(f"{number:012}", f"amilab-meters-{number}", "meters", number, state, "", 1)
        for number, state in enumerate(states, 1)
    ]
    return Seen("meters", containers, serving, taken)


@pytest.mark.parametrize(
    ("sight", "text"),
    [
        (
            seen("running", "running", serving=["000000000001", "000000000002"]),
            "no container of the service meters is left for it: the 2 that run serve other parts",
        ),
        (seen("running", "exited", serving=["000000000001"]), "amilab-meters-2 ended with exit code 1"),
        (seen("paused"), "amilab-meters-1 is paused"),
        (seen("created"), "amilab-meters-1 was never started"),
        (seen("running"), "nobody has taken it yet, for which there is amilab-meters-1"),
        (seen("running", taken=True), "a container of the service meters has taken it, and is still starting"),
    ],
)
def test_the_reason_says_what_there_is(sight: Seen, text: str) -> None:
    assert reason_for(sight, ADDRESS).text == text


def test_a_part_is_claimed_as_long_as_somebody_holds_it(tmp_path: Path) -> None:
    assert not is_claimed(tmp_path, "grid"), "there is no such part"
    (tmp_path / "grid").touch()
    assert not is_claimed(tmp_path, "grid")
    claim = claim_one(tmp_path, ["grid"])
    assert claim is not None
    assert is_claimed(tmp_path, "grid")
    claim.close()
    assert not is_claimed(tmp_path, "grid")
