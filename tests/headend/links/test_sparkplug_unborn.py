"""Commands that wait for a birth: in their order, not beyond their end, and never many."""

from __future__ import annotations

from headend.commands.outgoing import Outgoing
from headend.drivers import driver_for
from headend.links.sparkplug.unborn import MOST_WAITING, Unborn
from headend.registry import EndDevice

START_S = 1_768_435_200.0


def command(command_id: str, *, meter: int = 1, expires_s: float = START_S + 60, envelope: bytes = b"1") -> Outgoing:
    device = EndDevice(meter, meter, f"AMI{meter}", f"UP{meter}", "g", driver_for("sparkplug-mesh"), 0, "COL0001")
    return Outgoing(command_id, device, "ping", {}, expires_s, envelope)


def test_each_meter_has_its_own_that_are_not_over_once() -> None:
    unborn = Unborn()
    for each in (command("a"), command("b", expires_s=START_S), command("c", meter=2), command("d")):
        unborn.wait(each)
    assert [each.command_id for each in unborn.born("AMI1", START_S)] == ["a", "d"]
    assert unborn.born("AMI1", START_S) == []
    unborn.forget()
    assert unborn.born("AMI2", START_S) == []


def test_a_later_attempt_comes_last_as_its_counter_wants() -> None:
    unborn = Unborn()
    for each in (command("a"), command("b"), command("a", envelope=b"2")):
        unborn.wait(each)
    assert [(each.command_id, each.envelope) for each in unborn.born("AMI1", START_S)] == [("b", b"1"), ("a", b"2")]


def test_the_oldest_goes_where_there_are_too_many() -> None:
    unborn = Unborn()
    for number in range(MOST_WAITING + 3):
        unborn.wait(command(str(number)))
    assert [each.command_id for each in unborn.born("AMI1", START_S)] == [str(3 + n) for n in range(MOST_WAITING)]
