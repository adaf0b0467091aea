"""Each delivery class of a mesh fails when the network is broken for it, and none else does."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.verdict.communications import Communications
from tests.headend.services import Postgres
from tests.stack.labs import failed_criteria, live, scenario_text

pytest_plugins = ["tests.headend.fixtures"]

OUTAGE = """
[[event]]
at = "00:40"
kind = "outage"
device = "section"
duration = "8min"
select = { customers = [3, 20] }
"""
REBOOTS = """
[[event]]
at = "00:10"
kind = "reboot"
select = { meters = 8 }
"""
RELAYS = """
[[event]]
at = "00:20:10"
kind = "relay"
position = "open"
duration = "10min"
select = { meters = 8 }
"""


def jam(at: str, duration: str) -> str:
    """TOML of a mesh that carries nothing at all."""
    return f"""
[[event]]
at = "{at}"
kind = "network"
fault = "jam"
duration = "{duration}"
select = {{ collectors = 1 }}
"""


def broken(
    tmp_path: Path, postgres: Postgres, *, how: str = "", more: str = "", settle: str = "15min"
) -> tuple[set[str], Communications]:
    """The hour before a collector reads its meters, with messages of each class; what failed of it."""
    text = scenario_text(
        meters=24,
        duration="1h",
        settle=settle,
        events=OUTAGE + REBOOTS + RELAYS + how,
        fleet='profile = "sparkplug-mesh"',
        network="radio",
        more=more,
    )
    result = live(tmp_path, text.replace("T00:00:00Z", "T03:00:00Z"), database_url=postgres.url())
    told = result.verdict.communications
    assert told is not None
    judged = {criterion.id for criterion in result.verdict.criteria if criterion.id.startswith("network.")}
    assert judged == {"network.c1_alarms", "network.c2_control", "network.c3_system", "network.c4_reads"}
    return failed_criteria(result), told


def test_a_slow_backhaul_is_too_slow_for_alarms_alone(tmp_path: Path, postgres: Postgres) -> None:
    failed, _ = broken(tmp_path, postgres, more="[network.backhaul]\nlatency_least_s = 6.0\nlatency_most_s = 7.0")
    assert failed == {"network.c1_alarms"}


@pytest.mark.parametrize(
    ("how", "name"),
    [(jam("00:20", "2min"), "c2_control"), (jam("00:09", "4min"), "c3_system")],
    ids=["relays", "reboots"],
)
def test_a_jam_fails_what_was_to_be_sent_in_it(tmp_path: Path, postgres: Postgres, how: str, name: str) -> None:
    failed, told = broken(tmp_path, postgres, how=how)
    assert failed == {f"network.{name}"}
    (mesh,) = told.deliveries.technologies
    assert mesh.unsent["jammed"]


def test_a_mesh_that_is_read_too_slowly_has_late_reads_alone(tmp_path: Path, postgres: Postgres) -> None:
    # The twentieth meter of the collector has its turn more than two hours after the first.
    failed, _ = broken(tmp_path, postgres, more="[network.mesh]\nread_spacing_s = 400.0", settle="3h")
    assert failed == {"network.c4_reads"}
