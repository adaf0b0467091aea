"""Commands to meters of a living lab: handed to the head-end at the next instant, and looked up in its database."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from lab.errors import UserError
from lab.live.asked import CommandWanted
from lab.live.reader import Reader, ReadError
from lab.lockstep.timeline import Action
from lab.run.stage import Stage

MOST_KEPT = 200
"""Orders whose commands can be looked up; each has some hundred at most."""
BY = "live lab"

_STATES = """
SELECT c.id::text, d.serial, c.status, c.reason, c.attempts, c.round_trip_s, c.finished_at IS NOT NULL
FROM command c JOIN end_device d ON d.id = c.meter_id
WHERE c.id = ANY (%(ids)s::uuid[]) ORDER BY d.serial
"""
_SHOWN = (
    "import_register_wh", "export_register_wh",
    *(f"reactive_q{quadrant}_register_varh" for quadrant in (1, 2, 3, 4)),
    "reactive_import_register_varh", "reactive_export_register_varh", "active_power_w",
    *(
        f"{quantity}_l{phase}{unit}"
        for quantity, unit in (
            ("voltage", "_v"), ("current", "_a"), ("active_power", "_w"), ("reactive_power", "_var"),
            ("power_factor", ""),
        )
        for phase in (1, 2, 3)
    ),
    "max_demand_import_w", "implausible",
)  # fmt: skip
_INSTANTS = {"read_at_s": "read_at", "max_demand_at_s": "max_demand_at"}
_REGISTERS = (
    "SELECT command_id::text, "  # noqa: S608 - constants from above
    + ", ".join((*_SHOWN, *(f"extract(epoch FROM {column})::float8" for column in _INSTANTS.values())))
    + " FROM on_demand_reading WHERE command_id = ANY (%(ids)s::uuid[])"
)


@dataclass(slots=True)
class _Order:
    """`ids`: None until the head-end has made the commands. `last`: what was seen of them last."""

    wanted: CommandWanted
    ids: list[str] | None = None
    fault: UserError | None = None
    last: list[dict[str, Any]] = field(default_factory=list)


class Commanding:
    """The orders of one lab, by number."""

    def __init__(self, stage: Stage, reader: Reader, serials: Iterable[str], put: Callable[[Action], None]) -> None:
        """:param put: puts something on the lab's agenda."""
        self._stage, self._reader, self._put = stage, reader, put
        self._serials = frozenset(serials)
        self._orders: OrderedDict[int, _Order] = OrderedDict()
        self._count = 0

    def order(self, wanted: CommandWanted, at_s: int) -> int:
        """The number of the new order. :raises UserError: a meter is unknown."""
        if unknown := [serial for serial in dict.fromkeys(wanted.serials) if serial not in self._serials]:
            raise UserError(unknown_meters(unknown), HINT)
        self._count += 1
        order = self._orders[self._count] = _Order(wanted)
        while len(self._orders) > MOST_KEPT:
            self._orders.popitem(last=False)

        async def ask(now_s: int) -> None:
            try:
                made = await self._stage.command(
                    wanted.purpose, wanted.serials, by=BY, within_s=wanted.within_s, now_s=now_s
                )
            except UserError as error:
                order.fault = error
            else:
                order.ids = [command_id for command_id, *_ in made]

        self._put(Action(at_s, "ask", ask=ask))
        return self._count

    async def look(self, number: int) -> dict[str, Any]:
        """What has become of an order's commands. :raises UserError: there is none, or they could not be made."""
        order = self._orders.get(number)
        if order is None:
            raise UserError(f"there is no order {number}", f"The last {MOST_KEPT} are kept.")
        if order.fault is not None:
            # Another each time: one that is raised again keeps the traces of all times before.
            raise UserError(order.fault.faults, order.fault.hint)
        lagging = ""
        if order.ids is not None:
            try:
                order.last = await self._commands(order.ids, shows=order.wanted.purpose == "register.read")
            except ReadError as error:
                # The scenario may have killed it, or somebody who injects.
                lagging = f"the head-end's database does not answer: {error}"
        ended = bool(order.last) and all(command["ended"] for command in order.last)
        return {"ended": ended, "commands": order.last, "lagging": lagging}

    async def _commands(self, ids: list[str], *, shows: bool) -> list[dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for command_id, serial, state, reason, attempts, round_trip_s, ended in (
            await self._reader.rows(_STATES, {"ids": ids})
        ).rows:
            found[command_id] = {
                "id": command_id, "serial": serial, "state": state, "reason": reason, "attempts": attempts,
                "round_trip_s": round_trip_s, "ended": ended,
            }  # fmt: skip
        if shows:
            # Whoever asks a meter for its registers wants to see what the household used.
            for command_id, *values in (await self._reader.rows(_REGISTERS, {"ids": ids}, households=True)).rows:
                found[command_id]["registers"] = dict(zip((*_SHOWN, *_INSTANTS), values, strict=True))
        return list(found.values())


HINT = "Meters go by serial (AMI00000001); the page lists them."


def unknown_meters(serials: list[str]) -> list[str]:
    """A fault for each."""
    return [f"no meter is called {serial}" for serial in serials]
