"""The commands under way, but those of gap recovery: which to send, and when. Pure: instants in, steps out.

Each ends: with an answer, a refusal, or at its expiry. Until then it is sent again, under its id, with pauses that
double. Nobody is sent anything who is known to be away: it waits until the device is back.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from headend.commands.lifecycle import State, Step
from headend.pace import Pace
from headend.registry import EndDevice

#: Repetitions fall on this grid, so that a simulated run is not stopped once for each device.
RETRY_GRID_S = 5


@dataclass(slots=True, eq=False)
class Order:
    """One command. `next_s`: when it is to be sent, the first time or again. Instants are epoch s."""

    command_id: str
    device: EndDevice
    purpose: str
    params: Mapping[str, object]
    requested_by: str
    not_before_s: float
    expires_s: float
    state: State
    attempts: int
    next_s: float
    #: When it was sent last, by the wall clock of this process.
    sent_wall_s: float | None = None
    #: Why nothing has come of it so far.
    trouble: str | None = None
    #: Somebody's word on it is being written down: nothing is sent meanwhile.
    held: bool = False


class Orders:
    """`pace_of(device)`: how patiently it is asked. `is_away(device)`: it cannot be reached, as far as is known."""

    def __init__(self, *, pace_of: Callable[[EndDevice], Pace], is_away: Callable[[EndDevice], bool]) -> None:
        self._pace_of = pace_of
        self._is_away = is_away
        self._orders: dict[str, Order] = {}

    def __len__(self) -> int:
        return len(self._orders)

    def add(self, orders: Iterable[Order]) -> None:
        """Commands that were requested, now or in an earlier life."""
        self._orders.update((order.command_id, order) for order in orders)

    def of(self, device: EndDevice, command_id: str) -> Order | None:
        """The command of this id that is under way for this very device."""
        order = self._orders.get(command_id)
        return order if order is not None and order.device.id == device.id else None

    def get(self, command_id: str) -> Order | None:
        """The command of this id that is under way."""
        return self._orders.get(command_id)

    def next_due_s(self, now_s: float) -> float | None:
        """The next instant at which something is to be sent or given up; it may be `now_s`, never earlier."""
        wishes_s = [order.expires_s for order in self._orders.values()]
        wishes_s += [max(order.next_s, order.not_before_s) for order in self._orders.values() if self._may_go(order)]
        return max(min(wishes_s), now_s) if wishes_s else None

    def due(self, now_s: float, *, most: int) -> list[Order]:
        """What is to be sent now: up to `most`, and one for each device. The others' turn comes next."""
        found: dict[int, Order] = {}
        for order in self._orders.values():
            if len(found) == most:
                break
            if order.device.id not in found and self._may_go(order) and max(order.next_s, order.not_before_s) <= now_s:
                found[order.device.id] = order
        return list(found.values())

    def queued(self, order: Order, now_s: float) -> None:
        """It goes out now, in one attempt more; `queue` has made that durable."""
        order.attempts += 1
        order.state = State.QUEUED
        pace = self._pace_of(order.device)
        pause_s = min(pace.order_max_s, pace.order_first_s * 2.0 ** min(order.attempts - 1, 30))
        order.next_s = -(-(now_s + pause_s) // RETRY_GRID_S) * RETRY_GRID_S

    def step(
        self,
        order: Order,
        state: State,
        now_s: float,
        *,
        reason: str | None = None,
        actor: str | None = None,
        round_trip_s: float | None = None,
    ) -> Step | None:
        """Take a step; None where it cannot follow. What has ended is forgotten."""
        if not order.state.may_become(state):
            return None
        order.state = state
        if state.is_end:
            del self._orders[order.command_id]
        return Step(order.command_id, order.attempts, state, now_s, reason, actor, round_trip_s)

    def expire(self, now_s: float) -> list[Step]:
        """End what no device would do any more."""
        steps: list[Step] = []
        for order in [order for order in self._orders.values() if order.expires_s <= now_s]:
            step = self.step(order, State.EXPIRED, now_s, reason=self._trouble_of(order))
            assert step is not None, "what is open may expire"
            steps.append(step)
        return steps

    def _trouble_of(self, order: Order) -> str:
        if order.state is State.REQUESTED:
            return "not_approved"
        if order.trouble is not None:
            return order.trouble
        return "no_answer" if order.attempts else "unreachable"

    def _may_go(self, order: Order) -> bool:
        return not order.held and order.state is not State.REQUESTED and not self._is_away(order.device)
