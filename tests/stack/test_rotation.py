"""Certificates rotate in a lab that lives on, and not a reading is lost."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lab.errors import UserError
from lab.run.request import RunResult
from lab.services.broker import find_broker
from tests import left_out
from tests.stack.labs import failed_criteria, live, scenario_text

HOARDER = {"fleet": "tests.stack.sabotage.hoarding_fleet"}
METERS = 120


def rotation(at: str, what: str, overlap: str = "20min") -> str:
    return f'[[event]]\nat = "{at}"\nkind = "rotate"\nwhat = "{what}"\noverlap = "{overlap}"\n'


KILL_OF_THE_BROKER = '[[event]]\nat = "03:15"\nkind = "kill"\npart = "broker"\ndown = "60s"\n'
LOST_UPLINKS = """
[[event]]
at = "01:10"
kind = "uplink_loss"
duration = "50min"
select = { collectors = 1 }
[[event]]
at = "01:40"
kind = "uplink_loss"
duration = "70min"
select = { meters = 9 }
"""


def require_mosquitto() -> None:
    if find_broker().kind != "mosquitto":
        left_out.lacking(*left_out.MOSQUITTO)


def nothing_is_lost(result: RunResult) -> None:
    reads = result.verdict.comparison.reads
    assert (reads.unrecorded, reads.lost, reads.duplicate_rows, reads.altered) == (0, 0, 0, 0)
    assert failed_criteria(result) == set()


def hoarded(result: RunResult) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((result.directory / "journal" / "hoarded.json").read_text())
    return found


def connections(result: RunResult) -> Counter[str]:
    """How often each identity was let in."""
    log = (result.directory / "logs" / "broker.log").read_text()
    return Counter(re.findall(r"New client connected from \S+ as (\S+)", log))


@pytest.mark.timeout(300)
def test_identities_then_the_authority_rotate_and_the_broker_dies_after_it(tmp_path: Path) -> None:
    """On intervals' ends, when readings flow; meters and a collector without uplink come back to a new authority."""
    require_mosquitto()
    events = rotation("00:30", "identities") + rotation("01:30", "authority") + LOST_UPLINKS + KILL_OF_THE_BROKER
    text = scenario_text(meters=METERS, duration="5h", settle="1h", events=events, fleet='preset = "bakeoff"')
    result = live(tmp_path, text, parts=HOARDER)
    nothing_is_lost(result)
    found = hoarded(result)
    assert set(found["new identity"]) == {"ACCEPTED"}
    assert set(found["old identity"]) == {"CLOSED"}
    assert found["old authority"] == "NOT TRUSTED BY US"
    counts = connections(result)
    stations = len(found["new identity"])
    everybody = [count for name, count in counts.items() if name.startswith(("AMI", "COL"))]
    assert len(everybody) == stations
    # At the start, after each rotation or the lost uplink instead, after the broker's death; and the hoarder's own.
    assert min(everybody) >= 4 + 1
    assert min(counts["headend"], counts["headend-sparkplug"]) >= 4


@pytest.mark.timeout(300)
@pytest.mark.long
def test_identities_alone_rotate(tmp_path: Path) -> None:
    """What was replaced is revoked, and the authority stays."""
    require_mosquitto()
    text = scenario_text(meters=40, duration="2h", events=rotation("00:45", "identities"))
    result = live(tmp_path, text, parts=HOARDER)
    nothing_is_lost(result)
    found = hoarded(result)
    assert found["old authority"] == "ACCEPTED"
    assert found["new identity"] == ["ACCEPTED"] * 40
    assert found["old identity"] == ["CLOSED"] * 40
    # Everybody connected with it at once, not only when a connection broke; and then the hoarder did.
    assert min(count for name, count in connections(result).items() if name.startswith("AMI")) == 2 + 1


def test_a_rotation_without_certificates_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = scenario_text(events=rotation("00:45", "identities"))
    monkeypatch.setenv("AMILAB_BROKER", "iotcore")
    with pytest.raises(UserError, match="rotates certificates") as refusal:
        live(tmp_path, text)
    assert "install mosquitto" in (refusal.value.hint or "")
    with pytest.raises(UserError) as refusal:
        live(tmp_path, text, broker_url="mqtt://somewhere:1883")
    assert "--broker-url" in (refusal.value.hint or "")
