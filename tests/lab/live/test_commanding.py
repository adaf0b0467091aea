"""Orders of the live lab that cannot be carried out."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from lab.errors import UserError
from lab.live.asked import CommandWanted
from lab.live.commanding import Commanding
from lab.lockstep.timeline import Action


class DeadStage:
    """Its head-end is dead."""

    async def command(self, *_: object, **__: object) -> None:
        raise UserError("no head-end", "Wait until it is back.")


async def test_a_fault_looked_up_again_and_again_is_the_same_and_grows_no_trace() -> None:
    actions: list[Action] = []
    stage: Any = DeadStage()
    reader: Any = None
    commanding = Commanding(stage, reader, ["AMI00000001"], actions.append)
    number = commanding.order(CommandWanted(purpose="ping", serials=("AMI00000001",), within_s=60), 0)
    ask = actions[0].ask
    assert ask is not None
    await ask(0)
    depths = []
    for _ in range(3):
        with pytest.raises(UserError, match="no head-end") as refused:
            await commanding.look(number)
        assert refused.value.hint == "Wait until it is back."
        depths.append(len(traceback.extract_tb(refused.value.__traceback__)))
    assert len(set(depths)) == 1
