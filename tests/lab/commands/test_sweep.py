"""What `amilab sweep` says to a slip of the pen."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from lab.commands.main import app


def test_all_that_is_wrong_is_said_before_anything_runs(tmp_path: Path) -> None:
    out = tmp_path / "sweeps"
    done = CliRunner().invoke(
        app,
        ["sweep", "quickstart", "--seeds", "3-1", "--fleet", "mesh=2", "--out", str(out), "--", "--seed", "4"],
    )
    assert done.exit_code == 2
    for fault in ("--seeds: 3-1 ends before it begins", "--fleet", "--seed is the sweep's own"):
        assert fault in done.output
    assert not out.exists()
