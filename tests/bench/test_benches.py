"""The benches run and give figures; how large these are is not tested."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import barrier, grid, modbus, peer
from bench.__main__ import main
from bench.report import Result, Spread


async def grid_result() -> Result:
    return grid.measure("simbench:1-LV-rural1--0-sw", rounds=1, steps=2)


async def barrier_result() -> Result:
    return await barrier.measure(hours=1, meters=5)


async def modbus_result() -> Result:
    return await modbus.measure(rounds=1, gateways=2, boundaries=2)


async def peer_result() -> Result:
    return await peer.measure(rounds=1, count=200)


BENCHES = {"grid": grid_result, "barrier": barrier_result, "modbus": modbus_result, "peer": peer_result}


@pytest.mark.parametrize("bench", BENCHES.values(), ids=BENCHES)
async def test_a_bench_gives_figures_and_ratios(bench: Callable[[], object]) -> None:
    result = await bench()  # type: ignore[misc]  # one of the three above
    assert isinstance(result, Result)
    for spread in result.figures.values():
        assert 0 < spread.minimum <= spread.median <= spread.maximum
        assert math.isfinite(spread.maximum)
    assert any(unit == "" for unit in result.units.values()), "at least one ratio"
    document = json.loads(json.dumps(result.to_json()))
    assert set(document["figures"]) == set(result.figures)
    for name in result.figures:
        assert name in result.table()


def test_an_unknown_bench_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["speed"])
    assert ended.value.code == 2
    assert "grid, barrier, modbus, peer, ingest" in capsys.readouterr().err


def test_a_spread_shows_its_median_first() -> None:
    assert Spread.of([3.0, 1.0, 2.0]).text() == "2.00 (1.00 to 3.00)"
