"""When meters behind gateways are asked, on the injected clock, and what becomes of the answers.

Each meter is polled at each boundary of its interval grid. Gateways are polled side by side, the meters of one after
the other; whoever did not answer is asked again a few times, and at the next boundary the old one is given up. So a
gateway that is slow or dead delays nobody but itself, and a meter that swallows requests is asked last. Answers are
committed as they come. What is known of each meter's registers is in the database, so a head-end that was down
estimates over its own absence.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from headend.clock import Clock
from headend.links.modbus.gateway import (
    NO_ANSWER,
    NOT_ASKED,
    Answer,
    Failure,
    GatewayLink,
    Silence,
    Unusable,
    address_of,
)
from headend.links.modbus.outcomes import PollOutcomes, outcome_of
from headend.metrics import Metrics
from headend.reads.registers import NEAR_S
from headend.registry import EndDevice
from headend.settings import HeadEndSettings
from headend.store.batch import Batch

Record = Callable[[Callable[[Batch], None]], None]

RETRIES_AT_S = (5, 15, 35)
GIVEN_UP_AFTER = 3
"""A gateway that was silent at so many boundaries is tried once at each, without repetition."""


@dataclass(slots=True)
class _Gateway:
    link: GatewayLink
    devices: list[EndDevice]
    waiting: list[EndDevice] = field(default_factory=list)
    #: What came of those who wait, by meter id, and who was reached all the same.
    failures: dict[int, Failure] = field(default_factory=dict)
    reached: set[int] = field(default_factory=set)
    noted: bool = False
    silent_rounds: int = 0
    heard: bool = False
    task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """A boundary: everybody is asked."""
        self.waiting = list(self.devices)
        self.failures, self.reached = {}, set()
        self.noted = self.heard = False

    @property
    def is_to_be_repeated(self) -> bool:
        """Whether those who have not answered are asked again at this boundary."""
        return bool(self.waiting) and (self.heard or self.silent_rounds < GIVEN_UP_AFTER)

    def ask_last(self, device: EndDevice) -> None:
        """From now on: whoever keeps the line waiting must not keep others from being asked."""
        for queue in (self.devices, self.waiting):
            queue.remove(device)
            queue.append(device)


class _Round:
    """One boundary of the meters of one interval length."""

    def __init__(self, length_s: int, boundary_s: int) -> None:
        self.length_s = length_s
        self.boundary_s = boundary_s
        self.retries = [boundary_s + after_s for after_s in RETRIES_AT_S if after_s < min(NEAR_S, length_s)]
        self.over = False


class Poller:
    """The polled ones among the registered devices. Belongs to the running loop.

    `record(rows)`: let `rows` add to the batch that is open.
    """

    def __init__(
        self,
        settings: HeadEndSettings,
        clock: Clock,
        devices: Sequence[EndDevice],
        outcomes: PollOutcomes,
        metrics: Metrics,
        *,
        record: Record,
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._clock = clock
        self._outcomes = outcomes
        self._metrics = metrics
        self._record = record
        self._on_failure = on_failure
        by_place: defaultdict[tuple[int, str, int], list[EndDevice]] = defaultdict(list)
        for device in devices:
            # One that was replaced is nowhere.
            if device.driver.capabilities.needs_gateway and device.address:
                address = address_of(device)
                by_place[device.driver.interval_length_s, address.host, address.port].append(device)
        self._gateways: defaultdict[int, list[_Gateway]] = defaultdict(list)
        self._links_of: dict[int, GatewayLink] = {}
        # Many a gateway takes one connection only.
        links: dict[tuple[str, int], GatewayLink] = {}
        for (length_s, host, port), members in by_place.items():
            if (host, port) not in links:
                links[host, port] = GatewayLink(host, port, timeout_s=settings.poll_timeout_s)
            link = links[host, port]
            self._gateways[length_s].append(_Gateway(link, members))
            self._links_of.update((device.id, link) for device in members)
        self._rounds: dict[int, _Round] = {}
        # The boundary at this very instant counts.
        self._next_s = {length_s: _ceiling(clock.now(), length_s) for length_s in self._gateways}

    def gateway_of(self, device: EndDevice) -> GatewayLink | None:
        """The connection to the gateway of a meter; None: the meter is nowhere."""
        return self._links_of.get(device.id)

    def next_due_s(self) -> float | None:
        """The next instant at which `advance` has something to do."""
        due_s: list[float] = list(self._next_s.values())
        for length_s, current in self._rounds.items():
            if current.retries and any(gateway.is_to_be_repeated for gateway in self._gateways[length_s]):
                due_s.append(current.retries[0])
        return min(due_s, default=None)

    def advance(self, now_s: float) -> None:
        """Launch the polls that are due."""
        for length_s, gateways in self._gateways.items():
            if self._next_s[length_s] <= now_s:
                self._end_round(length_s, now_s)
                boundary_s = int(now_s // length_s) * length_s
                self._next_s[length_s] = boundary_s + length_s
                if now_s - boundary_s <= NEAR_S:
                    self._rounds[length_s] = current = _Round(length_s, boundary_s)
                    for gateway in gateways:
                        gateway.begin()
                        self._launch(gateway, current)
            found = self._rounds.get(length_s)
            if found is not None and found.retries and found.retries[0] <= now_s:
                found.retries = [at_s for at_s in found.retries if at_s > now_s]
                for gateway in gateways:
                    if gateway.is_to_be_repeated and (gateway.task is None or gateway.task.done()):
                        self._metrics.polls.labels("repeated").inc(len(gateway.waiting))
                        self._launch(gateway, found)

    async def settle(self) -> None:
        """Return when no poll is under way: what was answered is recorded."""
        while tasks := [task for gateway in self._all() if (task := gateway.task) is not None and not task.done()]:
            await asyncio.wait(tasks)

    async def stop(self) -> None:
        """Give up what is under way, close the connections."""
        for gateway in self._all():
            if gateway.task is not None:
                gateway.task.cancel()
        await asyncio.gather(*(g.task for g in self._all() if g.task is not None), return_exceptions=True)
        for gateway in self._all():
            gateway.link.close()

    def _all(self) -> list[_Gateway]:
        return [gateway for gateways in self._gateways.values() for gateway in gateways]

    def _launch(self, gateway: _Gateway, current: _Round) -> None:
        before = gateway.task
        gateway.task = asyncio.create_task(self._poll(gateway, current, before))
        gateway.task.add_done_callback(self._ended)

    async def _poll(self, gateway: _Gateway, current: _Round, before: asyncio.Task[None] | None) -> None:
        if before is not None and not before.done():
            # Of the boundary before: it ends with the request that it is waiting for.
            await asyncio.wait({before})
        asked = list(gateway.waiting)
        async for answer in gateway.link.poll(asked, lambda: current.over):
            if current.over:
                return
            if isinstance(answer, Answer):
                gateway.heard = True
                self._take(answer, gateway, current)
            else:
                gateway.heard |= isinstance(answer, Unusable)
                self._failed(answer, gateway)
        if not current.over and not (current.retries and gateway.is_to_be_repeated):
            self._note_failures(gateway, current)

    def _failed(self, failure: Failure, gateway: _Gateway) -> None:
        """A poll failed, this time; it may be repeated."""
        device = failure.device
        gateway.failures[device.id] = failure
        self._metrics.polls.labels(outcome_of(failure)).inc()
        if isinstance(failure, Silence):
            if failure.outcome == NO_ANSWER:
                gateway.ask_last(device)
            return
        if isinstance(failure, Unusable) or failure.is_meters_own:
            gateway.reached.add(device.id)
            now_s = self._clock.now()
            self._record(lambda batch: self._outcomes.communication(batch, device, now_s, online=True))

    def _note_failures(self, gateway: _Gateway, current: _Round) -> None:
        """What came of those who have not shown their registers at this boundary, once nothing more is asked."""
        if gateway.noted:
            return
        gateway.noted = True
        now_s = self._clock.now()

        def note(batch: Batch) -> None:
            for device in gateway.waiting:
                failure = gateway.failures.get(device.id)
                if failure is None:
                    failure = Silence(device, NO_ANSWER if device is gateway.link.asking else NOT_ASKED)
                self._outcomes.failed(batch, failure, current.boundary_s, now_s)

        if gateway.waiting:
            self._record(note)

    def _take(self, answer: Answer, gateway: _Gateway, current: _Round) -> None:
        now_s = self._clock.now()
        device = answer.device
        gateway.waiting.remove(device)
        gateway.failures.pop(device.id, None)
        self._metrics.polls.labels("answered").inc()
        self._record(lambda batch: self._outcomes.answered(batch, device, current.boundary_s, answer.registers, now_s))

    def _end_round(self, length_s: int, now_s: float) -> None:
        """The boundary before is given up: whoever has not answered is not there."""
        ended = self._rounds.pop(length_s, None)
        if ended is None:
            return
        ended.over = True
        for gateway in self._gateways[length_s]:
            gateway.silent_rounds = 0 if gateway.heard else gateway.silent_rounds + 1
            self._note_failures(gateway, ended)
            absent = [device for device in gateway.waiting if device.id not in gateway.reached]
            if absent:
                self._record(partial(self._outcomes.absent, devices=absent, now_s=now_s))

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self._on_failure(error)


def _ceiling(now_s: float, length_s: int) -> int:
    return -int(-now_s // length_s) * length_s
