"""Rolling updates without containers: each process is ended and started again, while readings flow."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.processes.supervisor import ProcessSpec, Supervisor
from tests.stack.labs import live, scenario_text

UPDATES = "".join(
    f'[[event]]\nat = "{at}"\nkind = "update"\npart = "{part}"\n'
    for at, part in (("00:15", "fleet"), ("00:30", "ingest"), ("00:45", "fleet"), ("00:45", "ingest"))
)


def test_no_read_is_lost_and_no_figure_of_the_ingest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    start = Supervisor.start

    async def noted(self: Supervisor, spec: ProcessSpec) -> int:
        started.append(spec.name)
        return await start(self, spec)

    monkeypatch.setattr(Supervisor, "start", noted)
    result = live(tmp_path, scenario_text(meters=40, duration="1h", fleet='preset = "bakeoff"', events=UPDATES))
    assert result.verdict.passed
    reads, ingest = result.verdict.comparison.reads, result.verdict.context.ingest
    assert (reads.unrecorded, reads.lost, reads.duplicate_rows, reads.altered) == (0, 0, 0, 0)
    assert ingest is not None
    assert ingest.rows >= reads.stored
    assert [started.count(name) for name in ("fleet-0", "headend", "grid")] == [3, 3, 1]
