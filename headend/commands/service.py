"""The command service: whoever wants something done by devices asks here, gap recovery as well as a person.

A command is durable before anybody can see it, and its counter before it is sent. Gap recovery decides by itself when
to ask again, and for what (`ask`). What is requested otherwise is sent again here, until it ends (`request`).
"""

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from headend.clock import Clock
from headend.commands.envelope import CLOCK_LEEWAY_S, FROM_ANYBODY, CommandSigner
from headend.commands.lifecycle import State, Step
from headend.commands.orders import Order, Orders
from headend.commands.outgoing import Outgoing
from headend.commands.purposes import PURPOSES, Answer, Params, Purpose, Verification
from headend.drivers import CommandAnswer, DecodeError
from headend.errors import CommandError
from headend.log import logger
from headend.pace import pace_of
from headend.registry import EndDevice
from headend.settings import HeadEndSettings
from headend.store import commands as store
from headend.store.batch import StepRow
from headend.store.database import Connection, Database

RECOVERY = "recovery"
#: More are refused: whoever asks for so much is to wait for some of it.
MOST_OPEN = 20_000
MOST_AT_ONCE = 10_000
#: So many are sent in one go.
MOST_PER_SWEEP = 1_000
_APPROVED = (str(State.REQUESTED), str(State.APPROVED))


@dataclass(frozen=True, slots=True)
class Requested:
    """A command that was made. `reason` is there where it has ended already."""

    command_id: str
    serial: str
    state: State
    reason: str | None = None


class CommandService:
    """The commands of the devices that this process commands: those for which there is a way.

    `way_to(device)`: how to hand a command to the link that reaches it; None: another process does. `is_away`: as
    Orders has it. `tell(steps)`: has steps committed that no message has brought. `hurry()`: something is due earlier
    than was said.
    """

    def __init__(
        self,
        settings: HeadEndSettings,
        clock: Clock,
        database: Database,
        signer: CommandSigner,
        devices: Sequence[EndDevice],
        *,
        way_to: Callable[[EndDevice], Callable[[Outgoing], None] | None],
        is_away: Callable[[EndDevice], bool],
        tell: Callable[[Sequence[StepRow]], None],
        hurry: Callable[[], None],
        purposes: Mapping[str, Purpose] = PURPOSES,
    ) -> None:
        self._clock = clock
        self._database = database
        self._signer = signer
        self._devices = {device.serial: device for device in devices}
        self._by_id = {device.id: device for device in devices}
        self._way_to = way_to
        self._tell = tell
        self._hurry = hurry
        self._purposes = purposes
        self._orders = Orders(pace_of=lambda device: pace_of(settings, device), is_away=is_away)

    async def restore(self) -> None:
        """Go on with the commands of an earlier life; what was under way is sent again, under its id."""
        now_s = self._clock.now()
        known = await self._database.run(store.open_commands)
        self._orders.add(
            Order(
                command_id=command.command_id,
                device=self._by_id[command.meter_id],
                purpose=command.purpose,
                params=command.params,
                requested_by=command.requested_by,
                not_before_s=command.not_before_s,
                expires_s=command.expires_s,
                state=State(command.state),
                attempts=command.attempts,
                next_s=now_s,
            )
            for command in known
            if command.requested_by != RECOVERY and self._way_to(self._by_id[command.meter_id]) is not None
        )

    # For gap recovery.

    async def ask(
        self, purpose: str, asks: Sequence[tuple[EndDevice, Params, int]], *, by: str, now_s: float
    ) -> list[Outgoing]:
        """Make a command for each of these devices, all different ones, and send it, once.

        `asks`: device, parameters, and for how long it is valid [s].
        """
        issued_s = int(now_s)
        begins_s = issued_s - CLOCK_LEEWAY_S
        new = [
            store.NewCommand(str(uuid.uuid4()), device.id, purpose, params, by, issued_s, begins_s, issued_s + expiry_s)
            for device, params, expiry_s in asks
        ]

        async def work(connection: Connection) -> dict[str, int]:
            await store.insert(connection, new, _APPROVED)
            return await store.queue(connection, [(command.command_id, 1) for command in new], now_s=now_s)

        counters = await self._database.run(work)
        out = [
            _outgoing(
                self._signer,
                Order(
                    command.command_id, device, purpose, params, by, begins_s, command.expires_s, State.QUEUED, 1, now_s
                ),
                counters[command.command_id],
                now_s,
            )
            for command, (device, params, _) in zip(new, asks, strict=True)
        ]
        for command in out:
            _send(self._way_to, command)
        self._note([Step(command.command_id, 1, State.SENT, now_s) for command in out])
        return out

    def ended(self, ends: Sequence[tuple[str, State, str | None]], now_s: float) -> None:
        """These commands of recovery's (id, end, reason) have ended, and no message says so."""
        self._note([Step(command_id, 1, state, now_s, reason) for command_id, state, reason in ends])

    # For everybody else.

    async def request(
        self,
        purpose_name: str,
        serials: Sequence[str],
        *,
        by: str,
        within_s: int,
        params: Params | None = None,
        not_before_s: float | None = None,
    ) -> list[Requested]:
        """Make a command for each of these devices that is commanded from here.

        Each ends within `within_s` from when it may begin. One for a device that cannot do it is refused at once.
        Raises CommandError, and makes none, for what is no request: an unknown purpose or device, parameters that do
        not fit, too many.
        """
        now_s, params = self._clock.now(), {} if params is None else params
        purpose, devices = self._checked(purpose_name, serials, params)
        begins_s = now_s - CLOCK_LEEWAY_S if not_before_s is None else not_before_s
        expires_s = int(max(now_s, begins_s)) + within_s
        waits = purpose.verification is Verification.SECOND_PERSON
        new: dict[bool, list[tuple[store.NewCommand, EndDevice]]] = {True: [], False: []}
        for device in devices:
            able = purpose.name in device.driver.capabilities.purposes
            command = store.NewCommand(
                str(uuid.uuid4()), device.id, purpose.name, params, by, now_s, begins_s, expires_s
            )
            new[able].append((command, device))
        refused = [Step(c.command_id, 0, State.REFUSED, now_s, "not_supported") for c, _ in new[False]]

        async def work(connection: Connection) -> None:
            await store.insert(connection, [c for c, _ in new[True]], _APPROVED[:1] if waits else _APPROVED)
            await store.insert(connection, [c for c, _ in new[False]], _APPROVED[:1])
            await store.write_steps(connection, [step.row() for step in refused])

        await self._database.run(work)
        state = State.REQUESTED if waits else State.APPROVED
        self._orders.add(
            Order(c.command_id, device, purpose.name, params, by, begins_s, expires_s, state, 0, now_s)
            for c, device in new[True]
        )
        self._hurry()
        made = {d.serial: Requested(c.command_id, d.serial, state) for c, d in new[True]}
        made |= {d.serial: Requested(c.command_id, d.serial, State.REFUSED, "not_supported") for c, d in new[False]}
        return [made[device.serial] for device in devices]

    async def approve(self, command_ids: Sequence[str], *, by: str) -> list[str]:
        """Let go out what waits for somebody's word; returns those that it was said of.

        Raises CommandError for commands that whoever approves has requested.
        """
        orders = [order for order in map(self._orders.get, command_ids) if order is not None]
        waiting = [order for order in orders if order.state is State.REQUESTED]
        if own := [order for order in waiting if order.requested_by == by]:
            raise CommandError(
                [f"{order.command_id}: {by} has requested it; somebody else is to approve" for order in own]
            )
        return await self._step(waiting, State.APPROVED, by=by)

    async def cancel(self, command_ids: Sequence[str], *, by: str) -> list[str]:
        """Take back what has not been sent; returns those that were. What is on its way ends by itself."""
        orders = [order for order in map(self._orders.get, command_ids) if order is not None]
        return await self._step(orders, State.CANCELLED, by=by)

    # In time.

    def next_due_s(self, now_s: float) -> float | None:
        """The next instant at which `advance` has something to do; it may be the present one."""
        return self._orders.next_due_s(now_s)

    async def advance(self, now_s: float) -> None:
        """End what is over, send what is due."""
        self._note(self._orders.expire(now_s))
        due = self._orders.due(now_s, most=MOST_PER_SWEEP)
        if not due:
            return
        numbered = [(order.command_id, order.attempts + 1) for order in due]
        counters = await self._database.run(lambda connection: store.queue(connection, numbered, now_s=now_s))
        sent: list[Step] = []
        for order in due:
            # The answer to an earlier attempt, or somebody's word, may have come while the database was asked.
            if order.command_id not in counters or order.held or self._orders.get(order.command_id) is None:
                continue
            self._orders.queued(order, now_s)
            order.sent_wall_s = time.perf_counter()
            step = self._orders.step(order, State.SENT, now_s)
            assert step is not None, "what is queued may be sent"
            sent.append(step)
            _send(self._way_to, _outgoing(self._signer, order, counters[order.command_id], now_s))
        self._note(sent)
        logger().info("commands sent", commands=len(sent))

    # What devices say.

    def answered(self, device: EndDevice, answer: CommandAnswer, now_s: float) -> list[StepRow]:
        """Take an answer; returns its steps. Raises DecodeError if it is none to anything that is under way."""
        order = self._orders.of(device, answer.command_id)
        if order is None:
            raise DecodeError(
                "unsolicited_answer", f"command {answer.command_id:.60} was not sent to this meter, or has ended"
            )
        state = State(answer.state)
        shows = self._purposes[order.purpose].answer is Answer.REGISTERS
        if (state is State.COMPLETED and shows) != (answer.registers is not None):
            raise DecodeError("bad_structure", f"that is no answer to {order.purpose}")
        round_trip_s = None if order.sent_wall_s is None else time.perf_counter() - order.sent_wall_s
        steps = [self._orders.step(order, State.ACKNOWLEDGED, now_s)]
        steps.append(self._orders.step(order, state, now_s, reason=answer.reason, round_trip_s=round_trip_s))
        return [step.row() for step in steps if step is not None]

    def refused(self, device: EndDevice, command_id: str, reason: str | None, now_s: float) -> list[StepRow]:
        """A device refused a command. What anybody can have sent ends none: it was taken, or the next attempt is."""
        order = self._orders.of(device, command_id)
        if order is None:
            return []
        if reason in FROM_ANYBODY:
            order.trouble = reason
            return []
        step = self._orders.step(order, State.REFUSED, now_s, reason=reason)
        return [] if step is None else [step.row()]

    def unanswered(self, command_id: str, reason: str) -> None:
        """Nobody answered an attempt, and that is why, in a word. It is sent again."""
        order = self._orders.get(command_id)
        if order is not None:
            order.trouble = reason

    # Small things.

    def _checked(self, name: str, serials: Sequence[str], params: Params) -> tuple[Purpose, list[EndDevice]]:
        """Raises CommandError."""
        purpose = self._purposes.get(name)
        if purpose is None:
            raise CommandError([f"no purpose is called {name!r}; there are {', '.join(self._purposes)}"])
        if purpose.answer is Answer.LOAD_PROFILE:
            raise CommandError([f"{name} is asked for by gap recovery, which knows what is missing"])
        unique = list(dict.fromkeys(serials))
        faults = [f"no meter is called {serial}" for serial in unique if serial not in self._devices]
        devices = [
            device
            for serial in unique
            if (device := self._devices.get(serial)) is not None and self._way_to(device) is not None
        ]
        for length_s in sorted({device.driver.interval_length_s for device in devices}):
            faults += [fault for fault in purpose.parameters(params, length_s) if fault not in faults]
        if len(unique) > MOST_AT_ONCE:
            faults.append(f"{len(unique):,} devices at once; {MOST_AT_ONCE:,} are the most")
        elif len(self._orders) + len(unique) > MOST_OPEN:
            faults.append(
                f"{len(self._orders):,} commands are under way, and {MOST_OPEN:,} are the most: wait for some"
            )
        if faults:
            raise CommandError(faults)
        return purpose, devices

    async def _step(self, orders: Sequence[Order], state: State, *, by: str) -> list[str]:
        now_s = self._clock.now()
        taken = [order for order in dict.fromkeys(orders) if order.state.may_become(state) and not order.held]
        rows = [Step(order.command_id, order.attempts, state, now_s, actor=by).row() for order in taken]
        for order in taken:
            order.held = True
        try:
            await self._database.run(lambda connection: store.write_steps(connection, rows))
        finally:
            for order in taken:
                order.held = False
        for order in taken:
            self._orders.step(order, state, now_s)
        self._hurry()
        return [order.command_id for order in taken]

    def _note(self, steps: Sequence[Step]) -> None:
        if steps:
            self._tell([step.row() for step in steps])


def _outgoing(signer: CommandSigner, order: Order, counter: int, now_s: float) -> Outgoing:
    envelope = signer.sign(
        command_id=order.command_id,
        serial=order.device.serial,
        purpose=order.purpose,
        issued_s=int(now_s),
        not_before_s=int(order.not_before_s),
        expires_s=int(order.expires_s),
        counter=counter,
        params=order.params,
    )
    return Outgoing(order.command_id, order.device, order.purpose, order.params, order.expires_s, envelope)


def _send(way_to: Callable[[EndDevice], Callable[[Outgoing], None] | None], command: Outgoing) -> None:
    send = way_to(command.device)
    assert send is not None, "no command is made where there is no way"
    send(command)
