"""Where a run writes: a directory of its own, and the link to the latest."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from lab.errors import UserError
from lab.scenario.load import Scenario


def new_run_directory(out: Path, scenario: Scenario) -> Path:
    """A new directory below `out`, named by scenario, seed and time. Two runs at one moment get two.

    :raises UserError: it cannot be made.
    """
    return new_directory(out, f"{scenario.name}-{scenario.seed}")


def new_directory(out: Path, name: str) -> Path:
    """A new directory below `out` that begins with `name` and has the time in its own. Raises UserError likewise.

    It is this user's alone: meters' readings are in it.
    """
    stem = f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        for number in range(1, 1000):
            directory = out.resolve() / (stem if number == 1 else f"{stem}-{number}")
            try:
                directory.mkdir(mode=0o700)
            except FileExistsError:
                continue
            return directory
    except OSError as error:
        raise UserError([f"cannot make a directory in {out}: {error.strerror}"], "Choose another --out.") from error
    raise UserError([f"{out} is full of runs of this second"], "Choose another --out.")


def link_latest(directory: Path, tell: Callable[[str], None]) -> None:
    """Point `latest` beside the run's directory at it, in one step, so that a reader never finds it missing.

    `tell` why that could not be done: others may be able to write there, too, and the run is over.
    """
    link, latest = directory.parent / f".latest-{directory.name}", directory.parent / "latest"
    try:
        link.symlink_to(directory.name)
        link.replace(latest)
    except OSError as error:
        with suppress(OSError):
            if link.readlink() == Path(directory.name):
                link.unlink()
        tell(f"{latest} does not lead to this run: {error.strerror}")
