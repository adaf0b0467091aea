"""What `--keep` leaves of a run's private directory: the database and the meters' memories, and no key to anything."""

from __future__ import annotations

import shutil
from pathlib import Path

from lab.processes.reaper import Reaper
from lab.run.local_stage import MEMORY
from lab.run.surroundings import SCHEMA
from lab.services.postgres import DATA, WHEEL, open_for_owner

KEPT = frozenset({DATA, WHEEL, MEMORY})


def keep(work: Path, reaper: Reaper) -> list[str]:
    """Keep the private directory of a run that is over, without what nobody needs any more. Returns what to say of it.

    Keys and passwords open nothing any more; but who finds them would have to know that.
    """
    for path in work.iterdir():
        if path.name in KEPT:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    reaper.keep_directory(work)
    return [f"kept: {work}", *(f"  {line}" for line in open_for_owner(work, SCHEMA))]
