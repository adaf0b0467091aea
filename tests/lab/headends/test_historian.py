"""SCADA's historian beside a lab: a real grid at the other end of the link, and a real database that goes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from headend.store.migrate import migrate
from lab.headends.historian import LENGTH_S, Historian
from lab.lockstep.link import LabLink, serve_part
from lab.parts.grid import GridPart
from tests.headend.reader import Reader
from tests.headend.services import Postgres, until

pytest_plugins = ["tests.headend.fixtures"]

START_S = 1_767_225_600


@pytest.fixture
async def link(tmp_path: Path) -> AsyncIterator[LabLink]:
    """With a grid that has been begun."""
    link = LabLink(f"ipc://{tmp_path}/link", run="run")
    handlers = GridPart().handlers()
    part = asyncio.create_task(serve_part("grid", link.address, handlers, run=link.run, key=link.new_part("grid")))
    await link.wait_for("grid")
    await link.call("grid", "init", feeder="schutterwald", seed=7, start_s=START_S)
    yield link
    part.cancel()
    await asyncio.gather(part, return_exceptions=True)
    await link.close()


async def live(link: LabLink, historian: Historian, from_s: int, to_s: int) -> None:
    for now_s in range(from_s, to_s + 1, LENGTH_S):
        await link.call("grid", "advance", now_s=now_s)
        historian.hear(now_s)


async def test_every_interval_is_written_once_though_the_database_was_away(
    link: LabLink, postgres: Postgres, schema: str, database: Reader, tmp_path: Path
) -> None:
    migrate(postgres.url(), schema)
    historian = Historian(link, "grid", postgres.url(), schema, start_s=START_S)

    def written() -> object:
        return database.value("SELECT count(DISTINCT interval_start) FROM transformer_measurement")

    await live(link, historian, START_S, START_S + 3600)
    await until(lambda: written() == 4, "the first hour")
    database.close()
    postgres.stop()
    await live(link, historian, START_S + 3600 + LENGTH_S, START_S + 2 * 3600)
    postgres.start()
    await historian.finish()
    assert written() == 8

    await link.call("grid", "finish", directory=str(tmp_path), interval_lengths_s=LENGTH_S, until_s=START_S + 2 * 3600)
    truth = pq.read_table(tmp_path / "truth_transformers.parquet").to_pandas()
    begun = truth[truth["time"].astype("int64") < (START_S + 2 * 3600) * 1_000_000]
    # Nothing was switched: each frame held for an interval.
    delivered = (begun["active_power_w"] - begun["losses_w"]).groupby(begun["transformer"]).sum() / 4
    rows = database.rows(
        "SELECT transformer, sum(energy_wh), max(loading_percent) FROM transformer_measurement GROUP BY 1"
    )
    highest = begun.groupby("transformer")["loading_percent"].max()
    assert len(rows) == 14
    for name, energy_wh, loading in rows:
        assert energy_wh == pytest.approx(delivered[str(name).removeprefix("transformer:")])
        assert loading == pytest.approx(highest[str(name).removeprefix("transformer:")])
