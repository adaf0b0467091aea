"""Gap recovery: whom to ask for which intervals, and when. Pure: instants in, requests out.

Nobody is asked who cannot hear it. A meter has one request outstanding at most; while that is unanswered the next one
waits until the meter is heard of (a report, an event, a state, a birth) or a long time is over. One that is known to be
away is asked when it is back. What is heard of afterwards is asked for, so no request needs to be kept for anybody.

Each is asked at its own pace. A collector or a cell has an allowance of messages for all of its meters; whoever is
beyond it waits, so that those who come back together are not asked together.

Everything happens on a grid of 30 s, and what concerns a silent or a waiting meter on one of 5 min: so a simulated run
is not stopped once per meter.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from headend.clock import GRID_S
from headend.commands.envelope import FROM_ANYBODY
from headend.drivers import ProfilePart
from headend.pace import ROWS_PER_PART, Pace
from headend.reads.allowances import Allowances
from headend.reads.schedule import Schedule

COARSE_GRID_S = 300
# So long after its request has ended an answer may still come: it waited with the broker, or is said again.
LINGER_S = 3600
# Three parts; more is asked for when these are in.
MAX_INTERVALS = 3 * ROWS_PER_PART


@dataclass(frozen=True, slots=True)
class Ask:
    """Request for the intervals of a meter that start in [from_s, to_s)."""

    meter: int
    from_s: int
    to_s: int


@dataclass(frozen=True, slots=True)
class Answered:
    """A part of an answer was taken.

    `gaps`: with the last one, the intervals that the meter does not have: (start, reason).
    """

    command_id: str
    is_first: bool
    is_last: bool
    gaps: tuple[tuple[int, str], ...] = ()


@dataclass(slots=True)
class _Asking:
    """`retry_s`: when a meter that is heard of may be asked again; `next_ask_s`: when it is, if it is not."""

    attempts: int
    next_ask_s: float
    retry_s: float

    def put_off(self, now_s: float, serial: str, pace: Pace) -> None:
        """Until it is heard of, and its back-off is over; or else for long."""
        self.retry_s = now_s + pace.back_off.delay_s(self.attempts, serial)
        silent_s = now_s + pace.silence.delay_s(self.attempts, serial)
        self.next_ask_s = max(self.retry_s, -(-silent_s // COARSE_GRID_S) * COARSE_GRID_S)
        self.attempts += 1

    def wait(self, now_s: float) -> None:
        """For its collector or cell to carry more."""
        self.retry_s = self.next_ask_s = (now_s // COARSE_GRID_S + 1) * COARSE_GRID_S


@dataclass(slots=True)
class _Open:
    ask: Ask
    expires_s: float
    #: Why nothing has come of it so far.
    trouble: str = "no_answer"
    parts: set[int] = field(default_factory=set)
    implausible: set[int] = field(default_factory=set)
    from_s: int | None = None
    to_s: int | None = None


class Recovery:
    """Keeps the schedules, the requests under way and the back-off of each meter that is behind."""

    def __init__(
        self,
        schedule: Schedule,
        serials: Sequence[str],
        *,
        paces: Sequence[Pace],
        carriers: Sequence[str],
        return_delay_s: float,
        max_per_sweep: int,
    ) -> None:
        """`serials`, `paces` and `carriers` are by meter; those of one carrier share its allowance."""
        self.schedule = schedule
        self._serials = serials
        self.paces = paces
        self._allowances = Allowances(paces, carriers)
        self._return_delay_s = return_delay_s
        self._max_per_sweep = max_per_sweep
        self._asking: dict[int, _Asking] = {}
        self._open: dict[str, _Open] = {}
        self._ended: dict[str, tuple[Ask, float]] = {}
        self._open_of: dict[int, str] = {}
        self._offline: set[int] = set()
        #: Meters of whom something is news: known to be away, or with a request that they have not answered.
        self.unheard: set[int] = set()
        self._superseded: list[str] = []
        self._swept_s: float | None = None

    def restore(
        self,
        *,
        offline: Iterable[int],
        issued: Iterable[tuple[str, Ask, float]],
        ended: Iterable[tuple[str, Ask]] = (),
        now_s: float = 0.0,
    ) -> None:
        """Take over from an earlier life: meters that are offline, and (command id, request, expiry) still open.

        `ended`: (command id, request) of whatever ended shortly before that life did.
        """
        self._offline.update(offline)
        self.unheard.update(self._offline)
        for command_id, ask in ended:
            self._ended[command_id] = ask, now_s + LINGER_S
        for command_id, ask, expires_s in issued:
            self.issued(command_id, ask, expires_s)

    def went_offline(self, meter: int) -> None:
        """The broker published the meter's will, or its collector lost it: until it returns, nobody asks it."""
        self._offline.add(meter)
        self.unheard.add(meter)
        self._asking.pop(meter, None)

    def returned(self, meter: int, now_s: float) -> None:
        """The meter is back (state `online`, or supply restored). It gets a moment to push what it has by itself."""
        self._offline.discard(meter)
        self.unheard.discard(meter)
        self._asking.pop(meter, None)
        if self.schedule.is_behind(meter, now_s):
            at_s = now_s + self._return_delay_s
            self._asking[meter] = _Asking(attempts=0, next_ask_s=at_s, retry_s=at_s)

    def heard(self, meter: int, now_s: float) -> None:
        """Anything came from the meter. Only of those in `unheard` it says something."""
        if meter in self._offline:
            self.returned(meter, now_s)
            return
        self.unheard.discard(meter)
        asking = self._asking.get(meter)
        if asking is not None:
            asking.next_ask_s = min(asking.next_ask_s, max(asking.retry_s, now_s))

    def reconnected(self, now_s: float) -> None:
        """Our own connection was lost: requests, or that somebody heard them, may have been lost with it."""
        for asking in self._asking.values():
            asking.next_ask_s = min(asking.next_ask_s, max(asking.retry_s, now_s + self._return_delay_s))

    def next_due_s(self, now_s: float) -> float | None:
        """The grid instant of the next sweep that has something to do; it may be `now_s`, never earlier."""
        wishes_s: list[float] = [
            asking.next_ask_s for meter, asking in self._asking.items() if self.schedule.is_behind(meter, now_s)
        ]
        if self._swept_s is None:
            wishes_s.append(now_s)
        else:
            regular_s = self.schedule.next_due_s(self._swept_s)
            if regular_s is not None:
                wishes_s.append(regular_s)
        if not wishes_s:
            return None
        earliest_s = max(min(wishes_s), now_s)
        grid_s = -(-earliest_s // GRID_S) * GRID_S
        if self._swept_s is not None and grid_s <= self._swept_s:
            grid_s = (self._swept_s // GRID_S + 1) * GRID_S
        return grid_s

    def plan(self, now_s: float) -> list[Ask]:
        """The sweep: the requests to be made now."""
        self._swept_s = now_s
        behind = self.schedule.behind(now_s)
        for meter in self._asking.keys() - set(behind):
            del self._asking[meter]
        asks: list[Ask] = []
        for meter in self._allowances.in_turn(behind, self.schedule.mark_s):
            asking = self._asking.get(meter)
            if meter in self._offline:
                continue
            if asking is None:
                asking = self._asking[meter] = _Asking(attempts=0, next_ask_s=now_s, retry_s=now_s)
            if asking.next_ask_s > now_s:
                continue
            if len(asks) == self._max_per_sweep:
                # The others' turn comes at the next sweep.
                break
            missing = self.schedule.missing_range(meter, now_s, max_intervals=MAX_INTERVALS)
            if missing is None:
                continue
            if self._allowances.take(meter, self.schedule.intervals(meter, *missing), now_s):
                asking.put_off(now_s, self._serials[meter], self.paces[meter])
                asks.append(Ask(meter, *missing))
            else:
                asking.wait(now_s)
        return asks

    def issued(self, command_id: str, ask: Ask, expires_s: float) -> None:
        """A request was made durable and sent. It takes the place of an earlier one of this meter."""
        before = self._open_of.get(ask.meter)
        if before is not None:
            self._end(before, self._open[before].expires_s)
            self._superseded.append(before)
        self._open[command_id] = _Open(ask, expires_s)
        self._open_of[ask.meter] = command_id
        self.unheard.add(ask.meter)

    def expired(self, now_s: float) -> list[tuple[str, str]]:
        """Forget the requests that no meter would answer any more; (id, reason) of each. Each sweep is early enough."""
        ended, self._superseded = [(command_id, "superseded") for command_id in self._superseded], []
        for command_id in [command_id for command_id, request in self._open.items() if request.expires_s <= now_s]:
            ended.append((command_id, self._open[command_id].trouble))
            self._end(command_id, now_s)
        for command_id in [command_id for command_id, (_, until_s) in self._ended.items() if until_s <= now_s]:
            del self._ended[command_id]
        return ended

    def refused(self, meter: int, command_id: str, reason: str | None) -> bool:
        """The meter refused a request; the back-off goes on. False if that ends none: it is none of its open ones, or
        anybody can have sent what was refused.
        """
        request = self._open.get(command_id)
        if request is None or request.ask.meter != meter:
            return False
        if reason in FROM_ANYBODY:
            request.trouble = reason
            return False
        del self._open[command_id], self._open_of[meter]
        return True

    def fault_of(self, meter: int, part: ProfilePart, length_s: int) -> str | None:
        """Why a part of an answer is none to anything that this meter was asked, in words; None if it is one."""
        request = self._open.get(part.command_id)
        ask = request.ask if request is not None else self._ended.get(part.command_id, (None, 0.0))[0]
        if ask is None or ask.meter != meter:
            return f"command {part.command_id:.60} was not sent to this meter, or is over for long"
        if part.interval_length_s != length_s:
            return f"the intervals are of {part.interval_length_s} s, not of {length_s} s"
        # Without a row, a meter tells from when on it remembers anything at all.
        if part.from_s < ask.from_s or (part.to_s > ask.to_s and part.from_s < part.to_s):
            return f"from {part.from_s} to {part.to_s} is beyond what was asked, {ask.from_s} to {ask.to_s}"
        return None

    def answered(
        self, meter: int, part: ProfilePart, now_s: float, *, implausible: Iterable[int] = ()
    ) -> Answered | None:
        """Take a part of an answer, whose rows are settled already. None if the request has ended.

        `implausible`: starts of intervals whose rows cannot be believed.
        """
        request = self._open.get(part.command_id)
        if request is None or request.ask.meter != meter:
            return None
        is_first = not request.parts
        request.parts.add(part.part)
        request.implausible.update(implausible)
        request.from_s = part.from_s if request.from_s is None else min(request.from_s, part.from_s)
        request.to_s = part.to_s if request.to_s is None else max(request.to_s, part.to_s)
        if len(request.parts) < part.parts:
            return Answered(part.command_id, is_first, is_last=False)
        self._end(part.command_id, now_s)
        gaps = self._gaps(request, request.from_s, request.to_s, part)
        for start_s, _ in gaps:
            self.schedule.settle(meter, start_s, part.interval_length_s)
        asking = self._asking.get(meter)
        if asking is not None and self.schedule.mark_s(meter) > request.ask.from_s:
            # It answers: what is still missing is asked for at the next sweep.
            asking.attempts = 0
            asking.next_ask_s = now_s
        return Answered(part.command_id, is_first, is_last=True, gaps=tuple(gaps))

    def _end(self, command_id: str, now_s: float) -> None:
        ask = self._open.pop(command_id).ask
        del self._open_of[ask.meter]
        self._ended[command_id] = ask, now_s + LINGER_S

    def _gaps(self, request: _Open, from_s: int, to_s: int, part: ProfilePart) -> list[tuple[int, str]]:
        ask = request.ask
        # An interval that is not over by the meter's clock is not missing from its memory.
        recorded_to_s = min(to_s, ask.to_s, part.device_time_s - part.interval_length_s + 1)
        forgotten = self.schedule.unsettled(ask.meter, ask.from_s, min(from_s, ask.to_s))
        unrecorded = self.schedule.unsettled(ask.meter, max(from_s, ask.from_s), recorded_to_s)
        return [(start_s, "beyond_memory") for start_s in forgotten] + [
            (start_s, "implausible" if start_s in request.implausible else "no_record") for start_s in unrecorded
        ]
