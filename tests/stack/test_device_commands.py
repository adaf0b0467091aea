"""`amilab command` on labs that run: each kind of meter is pinged and read, and each command ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from meters.vendors.registry import known_profiles
from tests.stack.command import wait_for
from tests.stack.labs import scenario_text
from tests.stack.live import PATIENCE_S, LiveLab, live_lab

pytestmark = pytest.mark.timeout(900)

FAST = 60.0
CANNOT = {"shelly-pro-3em"}
"""Its meters report, and take no command."""


@pytest.fixture(scope="module")
def lab() -> Iterator[LiveLab]:
    """With meters of every vendor."""
    vendors = known_profiles()
    shares = ", ".join(f"{name} = {1 / len(vendors)}" for name in vendors)
    with live_lab(scenario_text(meters=63, duration="1h", fleet=f"shares = {{ {shares} }}")) as lab:
        lab.speed(FAST)
        yield lab


def told(lab: LiveLab, *words: str, status: int) -> dict[str, Any]:
    """What `amilab command … --json` says."""
    process = lab.amilab("command", *words, "--json")
    assert process.returncode == status, process.stdout + process.stderr
    found: dict[str, Any] = json.loads(process.stdout)
    return found


def vendors_of(lab: LiveLab) -> dict[str, str]:
    """By serial."""
    scene = lab.client.get("scene")
    return {serial: scene["vendors"][at] for serial, at in zip(scene["serials"], scene["vendor"], strict=True)}


def serials_of(lab: LiveLab) -> list[str]:
    """Those that can be commanded."""
    return [serial for serial, vendor in vendors_of(lab).items() if vendor not in CANNOT]


def assert_all_that_can_completed(lab: LiveLab, found: dict[str, Any]) -> list[dict[str, Any]]:
    """The others are refused at once; returns what completed."""
    vendors = vendors_of(lab)
    assert set(vendors.values()) == set(known_profiles())
    ends = {each["serial"]: (each["state"], each["reason"]) for each in found["commands"]}
    assert ends == {
        serial: ("refused", "not_supported") if vendor in CANNOT else ("completed", None)
        for serial, vendor in vendors.items()
    }
    return [each for each in found["commands"] if each["state"] == "completed"]


def test_every_meter_of_every_vendor_answers_a_ping(lab: LiveLab) -> None:
    done = assert_all_that_can_completed(lab, told(lab, "ping", *vendors_of(lab), status=1))
    assert all(each["attempts"] == 1 and 0 <= each["round_trip_s"] < 300 for each in done)


def test_every_meter_of_every_vendor_shows_its_registers(lab: LiveLab) -> None:
    done = assert_all_that_can_completed(lab, told(lab, "read", *vendors_of(lab), status=1))
    now_s = lab.state()["now_s"]
    for each in done:
        shown = each["registers"]
        assert shown["import_register_wh"] > 0
        assert shown["implausible"] is None
        # Some are connected to one phase.
        assert 200 < max(shown[f"voltage_l{phase}_v"] for phase in (1, 2, 3)) < 260
        assert now_s - 3_600 < shown["read_at_s"] <= now_s + 60


def test_a_table_for_the_terminal(lab: LiveLab) -> None:
    serials = serials_of(lab)[:3]
    process = lab.amilab("command", "read", *serials)
    assert process.returncode == 0, process.stderr
    for word in (*serials, "completed", "import kWh", "3 completed"):
        assert word in process.stdout


def test_a_meter_that_is_dark_expires_and_the_others_complete(lab: LiveLab) -> None:
    scene = lab.client.get("scene")
    by_number = scene["transformer"]
    number = max(set(by_number), key=by_number.count)
    dark = [serial for serial, behind in zip(scene["serials"], by_number, strict=True) if behind == number]
    asked = [serial for serial in serials_of(lab) if serial in dark]
    lit = next(serial for serial in serials_of(lab) if serial not in dark)
    assert lab.amilab("inject", "fault", "transformer", scene["transformers"][number]["name"]).returncode == 0
    lab.until_counted("dark", len(dark))
    # Longer than any meter's reserve.
    until_s = lab.state()["now_s"] + 600
    wait_for(lambda: lab.state()["now_s"] > until_s, "ten minutes of darkness", PATIENCE_S)
    found = told(lab, "ping", *asked, lit, "--within", "2min", status=1)
    assert {each["serial"]: each["state"] for each in found["commands"]} == {
        **dict.fromkeys(asked, "expired"), lit: "completed"
    }  # fmt: skip
    assert all(each["reason"] for each in found["commands"] if each["state"] == "expired")
    assert lab.amilab("inject", "restore").returncode == 0
    lab.until_counted("dark", 0)
    lab.until_counted("offline", 0)


def test_a_collector_that_is_cut_off_answers_for_none_of_its_meters(lab: LiveLab) -> None:
    scene = lab.client.get("scene")
    collector = max(scene["collectors"], key=lambda each: len(each["meters"]))
    serials = [scene["serials"][row] for row in collector["meters"][:5]]
    assert lab.amilab("inject", "comms-loss", collector["name"]).returncode == 0
    lab.until_counted("offline", len(collector["meters"]))
    found = told(lab, "ping", *serials, "--within", "30s", status=1)
    assert {(each["state"], each["reason"], each["attempts"]) for each in found["commands"]} == {
        ("expired", "unreachable", 0)
    }
    assert lab.amilab("inject", "restore").returncode == 0
    lab.until_counted("offline", 0)


@pytest.mark.parametrize(
    ("words", "faults"),
    [
        (("ping", "AMI1", "AMI00000001", "X"), ["no meter is called AMI1", "no meter is called X"]),
        (("read", "AMI00000001", "--within", "soon"), ["--within"]),
        (("read", "AMI00000001", "--within", "1s"), ["it must be from 5 s to a day"]),
    ],
)
def test_what_cannot_be_is_refused_whole(lab: LiveLab, words: tuple[str, ...], faults: list[str]) -> None:
    process = lab.amilab("command", *words)
    assert process.returncode == 2
    for fault in faults:
        assert fault in process.stderr
    assert "Traceback" not in process.stderr


def test_nothing_is_commanded_while_time_stands_still(lab: LiveLab) -> None:
    lab.speed(0)
    process = lab.amilab("command", "ping", "AMI00000001")
    lab.speed(FAST)
    assert process.returncode == 2
    assert "time stands still" in process.stderr


def test_a_head_end_that_is_killed_goes_on_with_what_was_asked(lab: LiveLab) -> None:
    assert lab.amilab("inject", "kill", "headend", "--down", "30s").returncode == 0
    lab.until_told("SIGKILL: headend")
    refused = lab.amilab("command", "ping", "AMI00000001")
    assert refused.returncode in (0, 2), refused.stdout + refused.stderr
    lab.until("incidents", [])
    assert told(lab, "ping", *serials_of(lab)[:9], "--within", "5min", status=0)["ends"] == {"completed": 9}
