"""Fixtures of the tests of the fleet."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests import left_out
from tests.meters.meter_broker import Broker, broker
from tests.meters.meter_yard import Ear

__all__ = ["broker"]


@pytest.fixture
async def ear(broker: Broker) -> AsyncIterator[Ear]:
    """Of what meters of the group t1 say over connections of their own."""
    ear = await Ear("t1", broker.port).open()
    yield ear
    ear.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB, where the tests may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        left_out.lacking(*left_out.FULL_DISK, in_ci=False)
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)
