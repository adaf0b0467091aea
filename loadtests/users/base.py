"""A user that does its duties at their instants, and says to Locust what became of them."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator
from itertools import chain, takewhile

from locust import User, task
from locust.exception import StopUser

from loadtests.desk import Desk
from loadtests.duties import Duty, Kind

NAMES = {
    Kind.READING: ("MQTT", "reading"),
    Kind.BLOCK: ("Sparkplug", "block"),
    Kind.BACKLOG: ("MQTT", "backlog"),
    Kind.EVENT: ("MQTT", "event"),
    Kind.POLL: ("Modbus", "poll"),
    Kind.QUERY: ("SQL", "panel"),
}
"""What Locust's statistics call it: type and name."""
_FOR_EVER_S = 3600.0


class Scheduled(User):
    """Open loop: a duty waits for its instant, never for the answer to another. `desk` is set before all users."""

    abstract = True
    desk: Desk
    _next: Duty | None = None

    def on_start(self) -> None:
        try:
            self.join()
            self._coming = self.duties(self.desk.now_s())
            self._next = next(self._coming, None)
        except BaseException as error:
            self.failed("connect", error)
            self.leave()
            raise StopUser from error

    def on_stop(self) -> None:
        if self._next is not None:
            now_s = self.desk.now_s()
            late = takewhile(lambda duty: duty.due_s < now_s, chain([self._next], self._coming))
            self.desk.ledger.unsent += sum(1 for _ in late)
        self.leave()

    def wait_time(self) -> float:
        """Until the next duty is due."""
        if self._next is None:
            return _FOR_EVER_S
        return max(0.0, self._next.due_s - self.desk.now_s())

    @task
    def act(self) -> None:
        """Do what is due, if it is."""
        duty = self._next
        if duty is None or duty.due_s > self.desk.now_s():
            return
        self._next = next(self._coming, None)
        self.do(duty)

    def done(self, duty: Duty, place: int, length: int) -> None:
        """A duty that the ledger has was acknowledged or answered, just now."""
        at_s = time.time()
        self.desk.ledger.done(place, at_s)
        kind, name = NAMES[duty.kind]
        self._fire(kind, name, (at_s - self.desk.ledger.sent_at_s(place)) * 1000, length, None)

    def failed(self, name: str, error: BaseException, kind: str | None = None) -> None:
        """Something was not to be had."""
        self.desk.ledger.failed += 1
        self._fire(kind or type(self).__name__, name, 0.0, 0, error)

    def _fire(self, kind: str, name: str, time_ms: float, length: int, error: BaseException | None) -> None:
        self.environment.events.request.fire(
            request_type=kind,
            name=name,
            response_time=time_ms,
            response_length=length,
            exception=error,
            context={},
        )

    @abstractmethod
    def join(self) -> None:
        """Take an identity and connect."""

    @abstractmethod
    def duties(self, from_s: float) -> Iterator[Duty]: ...

    @abstractmethod
    def do(self, duty: Duty) -> None: ...

    @abstractmethod
    def leave(self) -> None:
        """Wait for what is still to be acknowledged, disconnect, and give the identity back."""
