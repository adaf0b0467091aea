"""A foreign protocol stack, pyModbusTCP 0.3.1, reads a twin of each register map and agrees with the physics."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path

import pytest

from meters.vendors import registry
from meters.vendors.registry import known_profiles, load_profile
from tests.interop.environment import environment
from tests.meters.fleet.test_polled import LENGTH_S, POWER_W, START_S, VOLTAGE_V, Street

PEER = Path(__file__).parent / "peers" / "pymodbustcp_reader.py"
ACME = Path(__file__).parents[1] / "vendors" / "acme"
UNIT = 3

BIG, SMALL = ("big", "big"), ("little", "big")
Asked = tuple[str, int, int, str, float, str, str]
# By hand, from the documents: name, function, address, type, scale, order of words and bytes.
ASKED: dict[str, list[Asked]] = {
    "sdm630": [
        ("voltage_l1_v", 4, 0x0000, "float32", 1.0, *BIG),
        ("voltage_l2_v", 4, 0x0002, "float32", 1.0, *BIG),
        ("active_power_w", 4, 0x0034, "float32", 1.0, *BIG),
        ("import_wh", 4, 0x0048, "float32", 1000.0, *BIG),
        ("export_wh", 4, 0x004A, "float32", 1000.0, *BIG),
    ],
    "em340": [
        ("model", 3, 0x000B, "uint16", 1.0, *SMALL),
        ("voltage_l1_v", 3, 0x0000, "int32", 0.1, *SMALL),
        ("voltage_l2_v", 4, 0x0002, "int32", 0.1, *SMALL),
        ("current_l1_a", 4, 0x000C, "int32", 0.001, *SMALL),
        ("active_power_w", 4, 0x0028, "int32", 0.1, *SMALL),
        ("frequency_hz", 4, 0x0033, "int16", 0.1, *SMALL),
        ("import_wh", 4, 0x0034, "int32", 100.0, *SMALL),
        ("export_wh", 3, 0x004E, "int32", 100.0, *SMALL),
    ],
    "acme-dm3": [
        ("model", 3, 0x6001, "uint32", 1.0, "big", "little"),
        ("voltage_l1_v", 3, 0x5B00, "uint32", 0.1, "big", "little"),
        ("voltage_l2_v", 3, 0x5B02, "uint32", 0.1, "big", "little"),
        ("voltage_l3_bits", 3, 0x5B04, "uint32", 1.0, "big", "little"),
        ("active_power_w", 3, 0x5008, "int32", -0.01, "big", "little"),
        ("import_wh", 3, 0x5000, "uint64", 10.0, "big", "little"),
        ("export_wh", 3, 0x5004, "uint64", 10.0, "big", "little"),
    ],
}
CONSTANT: dict[str, dict[str, float]] = {
    "sdm630": {},
    "em340": {"model": 341, "frequency_hz": 50.0, "current_l1_a": POWER_W[0] / VOLTAGE_V[0]},
    "acme-dm3": {"model": 0xAC3E0003, "voltage_l3_bits": 0xFFFFFFFF},
}


async def read(python: Path, street: Street, asked: list[Asked]) -> dict[str, float]:
    process = await asyncio.create_subprocess_exec(
        python, PEER, "127.0.0.1", str(street.port.port), str(UNIT), json.dumps(asked), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    values: dict[str, float] = json.loads(out)
    return values


@pytest.fixture(autouse=True)
def with_acme(monkeypatch: pytest.MonkeyPatch) -> None:
    registry._vendors.cache_clear()
    monkeypatch.syspath_prepend(ACME)
    monkeypatch.setattr(registry, "_vendors", registry._vendors.__wrapped__)


def test_every_register_map_is_read() -> None:
    polled = {profile.wire for profile in map(load_profile, known_profiles()) if profile.capabilities.needs_gateway}
    assert polled == set(ASKED)


@pytest.mark.parametrize("profile", sorted(ASKED))
async def test_the_twin_reads_as_its_document_says(tmp_path: Path, profile: str) -> None:
    python = await asyncio.to_thread(environment, "pyModbusTCP", "0.3.1")
    asked = ASKED[profile]
    street = Street(tmp_path, profile=profile)
    await street.begin()
    try:
        before = await read(python, street, asked)
        await street.fleet.advance(START_S + 4 * LENGTH_S, None)
        found = await read(python, street, asked)
    finally:
        await street.fleet.stop()
        street.port.close()
    class_1 = 0.01
    step_wh = load_profile(profile).facts.register_step_wh
    assert all(value is not None and math.isfinite(value) for value in found.values())
    assert found["voltage_l1_v"] == pytest.approx(VOLTAGE_V[0], rel=0.006)
    assert found["voltage_l2_v"] == pytest.approx(VOLTAGE_V[1], rel=0.006)
    assert found["active_power_w"] == pytest.approx(sum(POWER_W), rel=class_1)
    assert found["import_wh"] - before["import_wh"] == pytest.approx(sum(POWER_W), rel=class_1, abs=2 * step_wh)
    assert before["import_wh"] > 0
    assert found["export_wh"] == before["export_wh"]
    for name, value in CONSTANT[profile].items():
        assert found[name] == pytest.approx(value, rel=class_1), name
