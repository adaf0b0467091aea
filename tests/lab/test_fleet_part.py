"""A shard of the fleet as a part: what it cannot make meters of is told, and does not crash it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import UserError
from lab.parts.fleet import FleetPart

HEADER = "serial,vendor_profile,usage_point,group,username,password,command_public_key,address"
KEY = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA"


@pytest.mark.parametrize(
    ("profiles", "said"),
    [
        (["name = "], "a profile of this run: not TOML"),
        ([], "no vendor profile 'mine'"),
    ],
)
async def test_a_profile_that_is_none_in_this_process_is_told(tmp_path: Path, profiles: list[str], said: str) -> None:
    (tmp_path / "shipment.csv").write_text(f"{HEADER}\nAMI1,mine,UP1,g1,AMI1,secret,{KEY},\n")
    body = {
        "shipment": str(tmp_path / "shipment.csv"), "entries": [0], "world_rows": [0],
        "memory": str(tmp_path / "memory"), "broker_host": "127.0.0.1", "broker_port": 1, "broker_ca": None,
        "identities": None, "seed": 1, "start_s": 0, "profiles": profiles, "primary_host": "", "in_lockstep": True,
    }  # fmt: skip
    with pytest.raises(UserError, match=said):
        await FleetPart().init(body, [])
