"""Commands to meters of which no birth is known: it says how a command is written, so they wait for it. Pure.

A birth with an alias wants the alias and nothing else, one without wants the name (Sparkplug 3.0,
tck-id-payloads-alias-data-cmd-requirement). Whoever commands sends again by itself what is not answered, and knows
when to stop; so what waits is little, and the oldest may go.
"""

from collections import defaultdict

from headend.commands.outgoing import Outgoing

MOST_WAITING = 8
"""For one meter."""


class Unborn:
    """What waits, by the serial of its meter and its own id."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, dict[str, Outgoing]] = defaultdict(dict)

    def wait(self, command: Outgoing) -> None:
        """A later attempt takes the place of an earlier one, and comes after all others."""
        waiting = self._waiting[command.device.serial]
        waiting.pop(command.command_id, None)
        waiting[command.command_id] = command
        while len(waiting) > MOST_WAITING:
            del waiting[next(iter(waiting))]

    def born(self, serial: str, now_s: float) -> list[Outgoing]:
        """What waited for this meter and is not over, in the order in which it was signed."""
        return [command for command in self._waiting.pop(serial, {}).values() if command.expires_s > now_s]

    def forget(self) -> None:
        """The connection is gone: nothing waits for another one."""
        self._waiting.clear()
