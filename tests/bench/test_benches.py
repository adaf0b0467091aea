"""The benches run and give figures; how large these are is not tested."""

from __future__ import annotations

import asyncio
import json
import math
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import barrier, broker, communications, editions, grid, modbus, network, page, peer, phases, timescale
from bench.__main__ import main
from bench.readings import Volume
from bench.report import Interval, Result, Spread
from tests import left_out
from tests.stack.browser import CHROMIUM
from tests.stack.labs import scenario_text
from tests.timescale.servers import skipped_if_lacking


async def grid_result() -> Result:
    return grid.measure("simbench:1-LV-rural1--0-sw", rounds=1, steps=2)


async def barrier_result() -> Result:
    return await barrier.measure(hours=1, meters=5)


async def broker_result() -> Result:
    return await broker.measure(rounds=1, meters=4, batches=10, connects=50)


async def communications_result() -> Result:
    def measured() -> Result:
        with tempfile.TemporaryDirectory() as directory:
            short = Path(directory, "short.toml")
            short.write_text(scenario_text(meters=10, duration="30min", settle="5min"))
            return communications.measure(str(short), pairs=2, big=["--meters", "20"])

    return await asyncio.to_thread(measured)


async def modbus_result() -> Result:
    return await modbus.measure(rounds=1, gateways=2, boundaries=2)


async def network_result() -> Result:
    return network.measure([20], rounds=1, seeds=1)


async def page_result() -> Result:
    if CHROMIUM is None:
        left_out.lacking(*left_out.CHROMIUM)
    return await asyncio.to_thread(page.measure, rounds=1, seconds=0.5, meters=100)


async def peer_result() -> Result:
    return await peer.measure(rounds=1, count=200)


async def phases_result() -> Result:
    return phases.measure("simbench:1-LV-rural1--0-sw", rounds=1)


async def timescale_result() -> Result:
    few = Volume(meters=20, days=2)
    with skipped_if_lacking():
        editions.apache_binaries()
    return await timescale.measure(few, rounds=1, batches=1, queries=2, compressed=few, note=lambda _: None)


BENCHES = [
    pytest.param(grid_result, marks=pytest.mark.long),
    pytest.param(barrier_result, marks=pytest.mark.long),
    broker_result,
    pytest.param(communications_result, marks=pytest.mark.long),
    modbus_result,
    network_result,
    pytest.param(page_result, marks=pytest.mark.long),
    peer_result,
    phases_result,
    timescale_result,
]


@pytest.mark.parametrize("bench", BENCHES, ids=lambda bench: bench.__name__)
async def test_a_bench_gives_figures_and_ratios(bench: Callable[[], object]) -> None:
    result = await bench()  # type: ignore[misc]  # one of those above
    assert isinstance(result, Result)
    for name, spread in result.figures.items():
        # Processor time comes in steps.
        assert 0 <= spread.minimum <= spread.median <= spread.maximum
        assert spread.minimum > 0 or name.endswith("processor")
        assert math.isfinite(spread.maximum)
    assert result.ratios or any(unit == "" for unit in result.units.values()), "at least one ratio"
    document = json.loads(json.dumps(result.to_json()))
    assert set(document["figures"]) == set(result.figures)
    for interval in result.ratios.values():
        assert 0 < interval.lower <= interval.mean <= interval.upper < math.inf
    for name in [*result.figures, *result.ratios]:
        assert name in result.table()


def test_an_unknown_bench_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["speed"])
    assert ended.value.code == 2
    assert (
        "grid, barrier, broker, communications, modbus, network, page, peer, phases, timescale, ingest"
        in capsys.readouterr().err
    )


async def test_without_the_editions_plain_postgresql_is_measured_and_the_rest_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(editions, "APACHE_ROOT", tmp_path)
    monkeypatch.setattr(editions, "PGLITE", tmp_path)
    monkeypatch.setattr(editions, "NOTES", tmp_path)
    said: list[str] = []
    few = Volume(meters=2, days=1)
    result = await timescale.measure(few, rounds=1, batches=1, queries=2, note=said.append)
    assert "a meter's month, PostgreSQL" in result.figures
    assert not any("hypertable" in name or "PGlite" in name for name in result.figures)
    for edition in ("Apache edition", "community edition"):
        assert any(edition in line and "make editions" in line for line in said)


def test_a_spread_shows_its_median_first() -> None:
    assert Spread.of([3.0, 1.0, 2.0]).text() == "2.00 (1.00 to 3.00)"


def test_an_interval_is_that_of_the_geometric_mean() -> None:
    # Student's t at 97.5 % and 2 degrees of freedom is 4.3027, the logarithms' standard error ln 2 / sqrt 3.
    interval = Interval.of([0.5, 1.0, 2.0])
    assert interval.mean == pytest.approx(1.0)
    assert interval.upper == pytest.approx(math.exp(4.3027 * math.log(2) / math.sqrt(3)), rel=1e-4)
    assert interval.lower == pytest.approx(1 / interval.upper)
    assert Interval.of([0.8, 0.8]).text() == "0.800 (95 %: 0.800 to 0.800)"


def test_a_lab_that_fails_is_not_measured() -> None:
    with pytest.raises(RuntimeError, match=r"no-such-scenario .* ended with 2"):
        communications.live("no-such-scenario", "--network", "radio")
