"""A foreign client for Eastron meters, sdm-modbus 0.7.0, reads the twin and agrees with the physics."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path

import pytest

from tests.interop.environment import environment
from tests.meters.fleet.test_polled import LENGTH_S, POWER_W, START_S, VOLTAGE_V, Street

PEER = Path(__file__).parent / "peers" / "sdm_modbus_reader.py"
UNIT = 3


async def read(python: Path, street: Street) -> dict[str, float]:
    process = await asyncio.create_subprocess_exec(
        python, PEER, "127.0.0.1", str(street.port.port), str(UNIT), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    values: dict[str, float] = json.loads(out)
    return values


async def test_the_twin_reads_as_an_sdm630(tmp_path: Path) -> None:
    python = await asyncio.to_thread(environment, "sdm-modbus", "0.7.0", "pymodbus==3.6.9")
    street = Street(tmp_path)
    await street.begin()
    try:
        before = await read(python, street)
        await street.fleet.advance(START_S + 4 * LENGTH_S, None)
        found = await read(python, street)
    finally:
        await street.fleet.stop()
        street.port.close()
    assert len(found) == 90, "every input register that the library knows of an SDM630"
    class_1 = 0.01
    for phase, (power_w, voltage_v) in enumerate(zip(POWER_W, VOLTAGE_V, strict=True), start=1):
        assert found[f"l{phase}_voltage"] == pytest.approx(voltage_v, rel=0.006)
        assert found[f"l{phase}_power_active"] == pytest.approx(power_w, rel=class_1)
        assert found[f"l{phase}_current"] == pytest.approx(power_w / voltage_v, rel=class_1)
        used_wh = (found[f"l{phase}_import_energy_active"] - before[f"l{phase}_import_energy_active"]) * 1000
        assert used_wh == pytest.approx(power_w, rel=class_1, abs=16)
    assert found["total_power_active"] == pytest.approx(sum(POWER_W), rel=class_1)
    assert found["frequency"] == 50.0
    imported_wh = (found["import_energy_active"] - before["import_energy_active"]) * 1000
    assert imported_wh == pytest.approx(sum(POWER_W), rel=class_1, abs=16)
    assert found["export_energy_active"] == 0.0
    assert found["l1_energy_active"] == pytest.approx(found["l1_import_energy_active"])
    assert found["total_energy_active"] == pytest.approx(found["import_energy_active"], rel=1e-6)
    assert all(math.isfinite(value) for value in found.values())
