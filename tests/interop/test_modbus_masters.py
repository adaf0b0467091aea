"""Two foreign protocol stacks as masters: they read, send many requests in one segment, set a meter, are refused."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.interop.environment import environment
from tests.meters.fleet.test_polled import POWER_W, VOLTAGE_V, Street

PEERS = Path(__file__).parent / "peers"
UNIT, NOBODY = 3, 99
REFUSED = {"quantity 0": 3, "quantity 126": 3, "address": 2, "function": 1, "value": 3, "nobody": 0x0B}


@pytest.mark.parametrize(
    ("library", "version", "peer"),
    [("uModbus", "1.0.4", "umodbus_master.py"), ("pyModbusTCP", "0.3.1", "pymodbustcp_master.py")],
)
async def test_a_foreign_master_gets_all_its_answers(tmp_path: Path, library: str, version: str, peer: str) -> None:
    python = await asyncio.to_thread(environment, library, version)
    street = Street(tmp_path)
    await street.begin()
    try:
        process = await asyncio.create_subprocess_exec(
            python, PEERS / peer, "127.0.0.1", str(street.port.port), str(UNIT), str(NOBODY),
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, _ = await asyncio.wait_for(process.communicate(), 100)
    finally:
        await street.fleet.stop()
        street.port.close()
    assert process.returncode == 0
    found: dict[str, Any] = json.loads(out)
    assert found["alone"][:3] == pytest.approx(VOLTAGE_V, rel=0.006)
    assert found["alone"][6:9] == pytest.approx(POWER_W, rel=0.02)
    assert found["pipelined"] == [found["alone"][each % 20] for each in range(50)]
    assert found["periods"] == [60.0, 8.0]
    assert found["refused"] == REFUSED
