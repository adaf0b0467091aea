"""Commands as meters obey them: once, whatever is lost or killed on the way (docs/command-envelope.md, Once)."""

from __future__ import annotations

import signal
from pathlib import Path
from uuid import uuid4

import pytest

from tests.meters.meter_broker import Broker
from tests.meters.meter_process import FleetProcess
from tests.meters.meter_yard import START_S, Ear, World, command, grant, make_fleet, shipment, uneven_power_w, until
from tests.meters.sparkplug_ear import SparkplugEar, collected_shipment

SERIAL = "AMI00000001"
ID = str(uuid4())
NOW_S = START_S + 905


def read(counter: int, jti: str, now_s: int, purpose: str = "register.read", params: object = None) -> bytes:
    return command(
        SERIAL, counter=counter, jti=jti, now_s=now_s, purpose=purpose, params={} if params is None else params
    )


@pytest.fixture
async def lived(tmp_path: Path, broker: Broker):  # type: ignore[no-untyped-def]  # a fleet, a way to go on, an ear
    world = World(uneven_power_w(2))
    fleet = make_fleet(shipment(2, "t1"), broker.port, tmp_path / "shard.db")
    ear = await Ear("t1", broker.port).open()
    await fleet.start()
    await grant(fleet, NOW_S, {START_S: world.frame(START_S), START_S + 900: world.frame(START_S + 900)})
    yield fleet, ear
    await fleet.stop()
    ear.close()


async def test_a_meter_answers_a_ping_and_shows_its_registers(lived) -> None:  # type: ignore[no-untyped-def]
    _, ear = lived
    other = str(uuid4())
    await ear.tell(SERIAL, read(1, ID, NOW_S, "ping"))
    await ear.tell(SERIAL, read(2, other, NOW_S))
    await until(lambda: len(ear.of("an", SERIAL)) == 2)
    ping, shown = (payload["answer"] for payload in ear.of("an", SERIAL))
    assert (ping["command"], ping["state"], ping.get("values")) == (ID, "completed", None)
    assert (shown["command"], shown["state"]) == (other, "completed")
    values = shown["values"]
    last = ear.of("ds", SERIAL)[-1]["meter"]
    # Of the instant, a few seconds after the interval that was reported last.
    assert last["1.8.0"] <= values["1.8.0"] <= last["1.8.0"] + 5
    assert (values["1.7.0"], values["2.7.0"]) == (last["1.7.0"], last["2.7.0"])
    assert (values["32.7.0"], values["72.7.0"]) == (last["32.7.0"], last["72.7.0"])
    assert shown["ts"][:16] == "2026-01-15T00:15"


async def test_looking_changes_nothing(tmp_path: Path, broker: Broker) -> None:
    journals = []
    for asked in (False, True):
        group = f"g{asked:d}"
        world = World(uneven_power_w(2))
        fleet = make_fleet(shipment(2, group), broker.port, tmp_path / f"{group}.db")
        ear = await Ear(group, broker.port).open()
        await fleet.start()
        await grant(fleet, NOW_S, {START_S: world.frame(START_S)})
        if asked:
            await ear.tell(SERIAL, read(1, ID, NOW_S))
            await until(lambda ear=ear: len(ear.of("an", SERIAL)) == 1)  # type: ignore[misc]  # bound early
        await grant(fleet, START_S + 3605, {START_S + 1800: world.frame(START_S + 1800)})
        await ear.caught_up()
        journals.append(ear.of("ds", SERIAL))
        await fleet.stop()
        ear.close()
    assert journals[0] == journals[1]


async def test_a_known_command_is_answered_again_without_acting_also_after_newer_ones(lived) -> None:  # type: ignore[no-untyped-def]
    fleet, ear = lived
    await ear.tell(SERIAL, read(1, ID, NOW_S))
    await ear.tell(SERIAL, read(2, str(uuid4()), NOW_S, "ping"))
    await until(lambda: len(ear.of("an", SERIAL)) == 2)
    await grant(fleet, NOW_S + 600)
    await ear.tell(SERIAL, read(3, ID, NOW_S))
    await until(lambda: len(ear.of("an", SERIAL)) == 3)
    first, _, again = (payload["answer"] for payload in ear.of("an", SERIAL))
    assert again == first, "what it was then, not what it would be now"
    # What is on the wire can be sent again by anybody.
    await ear.tell(SERIAL, read(3, ID, NOW_S))
    await until(lambda: bool(ear.of("ev", SERIAL)))
    (refused,) = (payload["event"]["detail"] for payload in ear.of("ev", SERIAL))
    assert refused == {"command": ID, "reason": "replayed"}
    assert len(ear.of("an", SERIAL)) == 3


async def test_a_load_profile_is_answered_again_as_it_was(lived) -> None:  # type: ignore[no-untyped-def]
    fleet, ear = lived
    params = {"from": START_S, "to": START_S + 7200}
    await ear.tell(SERIAL, read(1, ID, NOW_S, "load_profile.read", params))
    await until(lambda: len(ear.of("lp", SERIAL)) == 1)
    await grant(fleet, NOW_S + 1800)
    await ear.tell(SERIAL, read(2, ID, NOW_S, "load_profile.read", params))
    await until(lambda: len(ear.of("lp", SERIAL)) == 2)
    first, again = ear.of("lp", SERIAL)
    assert again == first
    assert len(first["profile"]["rows"]) == 1


async def test_one_id_is_one_command(lived) -> None:  # type: ignore[no-untyped-def]
    _, ear = lived
    await ear.tell(SERIAL, read(1, ID, NOW_S))
    await ear.tell(SERIAL, read(2, ID, NOW_S, "ping"))
    # Refused: it does not count.
    await ear.tell(SERIAL, read(2, str(uuid4()), NOW_S, "ping"))
    await until(lambda: len(ear.of("an", SERIAL)) == 2)
    (refused,) = (payload["event"]["detail"] for payload in ear.of("ev", SERIAL))
    assert refused == {"command": ID, "reason": "id_reused"}


async def test_the_outcomes_of_the_last_64_commands_are_kept(lived) -> None:  # type: ignore[no-untyped-def]
    fleet, ear = lived
    ids = [str(uuid4()) for _ in range(64 + 1)]
    for counter, jti in enumerate(ids, start=1):
        await ear.tell(SERIAL, read(counter, jti, NOW_S))
    await until(lambda: len(ear.of("an", SERIAL)) == len(ids))
    before = {payload["answer"]["command"]: payload["answer"]["ts"] for payload in ear.of("an", SERIAL)}
    await grant(fleet, NOW_S + 60)
    for counter, jti in ((100, ids[1]), (101, ids[0])):
        await ear.tell(SERIAL, read(counter, jti, NOW_S))
    await until(lambda: len(ear.of("an", SERIAL)) == len(ids) + 2)
    kept, forgotten = (payload["answer"] for payload in ear.of("an", SERIAL)[-2:])
    assert kept["ts"] == before[ids[1]]
    assert forgotten["ts"] > before[ids[0]]


@pytest.mark.parametrize(("moment", "acts_anew"), [("before", True), ("after", False)])
async def test_sigkill_between_acting_and_answering_neither_acts_twice_nor_forgets(
    tmp_path: Path, broker: Broker, moment: str, acts_anew: bool
) -> None:
    memory = tmp_path / "shard.db"
    ear = await Ear("k", broker.port).open()
    process = FleetProcess(memory, broker.port, "k", 4, KILLED=moment)
    for now_s in range(START_S, START_S + 961, 60):
        process.grant(now_s, frame=(now_s - START_S) % 900 == 0)
        process.expect("done")
    acted_s = START_S + 960
    await ear.tell(SERIAL, read(1, ID, acted_s))
    assert process.wait_for_its_end() == -signal.SIGKILL
    await ear.caught_up()
    assert ear.of("an", SERIAL) == []

    process = FleetProcess(memory, broker.port, "k", 4)
    process.grant(acted_s + 840, frame=True)
    process.expect("done")
    process.grant(acted_s + 1200, frame=False)
    process.expect("done")
    await ear.tell(SERIAL, read(2, ID, acted_s))
    await until(lambda: len(ear.of("an", SERIAL)) == 1)
    (answer,) = (payload["answer"] for payload in ear.of("an", SERIAL))
    # Its clock is right to some seconds.
    assert answer["ts"][:15] == ("2026-01-15T00:3" if acts_anew else "2026-01-15T00:1")
    if not acts_anew:
        await ear.tell(SERIAL, read(2, ID, acted_s))
        await until(lambda: bool(ear.of("ev", SERIAL)))
        assert ear.of("ev", SERIAL)[-1]["event"]["detail"]["reason"] == "replayed", "the counter is kept with it"
    process.kill()
    ear.close()


async def test_a_meter_behind_a_collector_answers_a_ping_and_shows_its_registers(
    tmp_path: Path, broker: Broker
) -> None:
    world = World(uneven_power_w(3))
    fleet = make_fleet(collected_shipment(3, "t1"), broker.port, tmp_path / "shard.db")
    ear = await SparkplugEar("t1", broker.port).open()
    await fleet.start()
    await grant(fleet, START_S + 3700, {START_S: world.frame(START_S), START_S + 900: world.frame(START_S + 900)})
    other = str(uuid4())
    for counter, jti, purpose in ((1, ID, "ping"), (2, other, "register.read"), (3, ID, "ping")):
        ear.tell("COL0", SERIAL, read(counter, jti, START_S + 3700, purpose))
    ear.fence("COL0", "f1")
    await fleet.await_fence("f1", ["COL0"])
    await fleet.settle()
    await ear.caught_up()
    ear.assert_strict()
    ping, shown, again = (metrics for metrics in ear.data(SERIAL) if "Answer/State" in metrics)
    assert {name: metric.value for name, metric in ping.items()} == {"Answer/Command": ID, "Answer/State": "completed"}
    assert {name: metric.value for name, metric in again.items()} == {
        name: metric.value for name, metric in ping.items()
    }
    last = ear.intervals(SERIAL)[-1].values
    values = {name: metric.value for name, metric in shown.items()}
    assert (values.pop("Answer/Command"), values.pop("Answer/State")) == (other, "completed")
    energies = {f"Interval/{code}" for code in last if code.endswith(".29.0") or code == "96.10.1"}
    assert set(values) == {f"Register/{code}" for code in last if f"Interval/{code}" not in energies}
    assert last["1.8.0"] <= values["Register/1.8.0"] <= last["1.8.0"] + 100
    await fleet.stop()
    ear.close()
