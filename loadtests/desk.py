"""What the users of one Locust process share: the plan, the ledger, the instant at which the load began."""

from __future__ import annotations

import os
import time
from pathlib import Path

import gevent
from locust.env import Environment

from loadtests.duties import Duty
from loadtests.leases import Leases
from loadtests.ledger import Ledger, ProgressFile
from loadtests.plan import LEASES, LEDGERS, PROGRESS, START, VARIABLE, read_plan


class Desk:
    """Made once for a process, from the plan that the environment names."""

    def __init__(self, path: Path) -> None:
        self.plan = read_plan(path)
        self.ledger = Ledger()
        self._directory = path.parent
        self.leases = Leases(self._directory / LEASES)
        self._progress = ProgressFile(self._directory / PROGRESS)
        self._start_s: float | None = None

    @property
    def start_s(self) -> float:
        """Epoch s, the same for all processes. Raises OSError before the load has begun."""
        if self._start_s is None:
            self._start_s = float((self._directory / START).read_text())
        return self._start_s

    @property
    def begun(self) -> bool:
        return self._start_s is not None or (self._directory / START).exists()

    def begin(self) -> None:
        """The load begins now; to be said once, by the process that has the shape."""
        draft = self._directory / f".{START}"
        draft.write_text(repr(time.time()))
        draft.replace(self._directory / START)

    def now_s(self) -> float:
        """Seconds since the start."""
        return time.time() - self.start_s

    def enter(self, duty: Duty) -> int:
        """Note that this is being sent; returns its place in the ledger."""
        return self.ledger.sent(duty, self.start_s + duty.due_s, time.time())

    def report(self, environment: Environment) -> None:
        """Say each second how far this process is; for ever."""
        while True:
            users = environment.runner.user_count if environment.runner is not None else 0
            self._progress.say(time.time(), users, self.ledger)
            gevent.sleep(1.0)

    def close(self) -> None:
        """Leave the ledger for whoever judges."""
        self.ledger.write(self._directory / LEDGERS)


def desk_from_environment() -> Desk:
    return Desk(Path(os.environ[VARIABLE]))
