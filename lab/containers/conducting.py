"""Who conducts in a project: one at a time, a run or the demonstration. A lock like those of parts says who does."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from lab.containers.claims import Claim, claim_one
from lab.containers.state import PLAN, Owner, make_state
from lab.errors import UserError

CONDUCTING = "conducting"
_LOOK_EVERY_S = 1.0


def claim_to_conduct(root: Path, owner: Owner) -> Claim:
    """Ours until it is closed, or we are dead.

    :param root: the project's directory state/.
    :raises UserError: somebody else conducts; or see `make_state`.
    """
    make_state(root, owner)
    claim = _claim(root, owner)
    if claim is None:
        raise UserError(
            "another run is under way in this project",
            "Wait until it is over, or end it with Ctrl-C. Two projects on one machine need two names: AMILAB_PROJECT.",
        )
    return claim


async def until_nobody_conducts(root: Path, owner: Owner, tell: Callable[[str], None]) -> None:
    """Wait while somebody does, and `tell` so."""
    told = False
    while (claim := _claim(root, owner)) is None:
        if not told:
            tell("a run is under way in this project: the demonstration begins when it is over")
            told = True
        await asyncio.sleep(_LOOK_EVERY_S)
    claim.close()


def _claim(root: Path, owner: Owner) -> Claim | None:
    path = root / PLAN / CONDUCTING
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640))
        owner.take(path)
    return claim_one(path.parent, [CONDUCTING])
