"""What Locust loads: the users of the plan with their weights, and its shape. `python -m loadtests` starts it."""

from __future__ import annotations

import gevent
from locust import LoadTestShape, events
from locust.env import Environment
from locust.runners import WorkerRunner

from loadtests.desk import desk_from_environment
from loadtests.users.base import Scheduled
from loadtests.users.masters import ModbusMaster
from loadtests.users.readers import Reader
from loadtests.users.stations import Collector, Meter

__all__ = ["Collector", "Meter", "ModbusMaster", "Planned", "Reader"]

desk = desk_from_environment()
Scheduled.desk = desk
# At the peak there are exactly so many of each, below it about in this proportion. Who weighs nothing is left out.
Meter.weight = len(desk.plan.meters)
Collector.weight = len(desk.plan.collectors)
ModbusMaster.weight = len(desk.plan.gateways)
Reader.weight = desk.plan.readers


class Planned(LoadTestShape):
    """The plan's shape, of the load's own time: users that are missing are made at once."""

    def tick(self) -> tuple[int, float] | None:
        level = desk.plan.shape.level(desk.now_s() if desk.begun else 0.0)
        if level is None:
            return None
        users = max(1, round(level * desk.plan.users))
        return users, float(desk.plan.users)


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def _start(environment: Environment, **_: object) -> None:
    if not isinstance(environment.runner, WorkerRunner):
        desk.begin()


@events.init.add_listener  # type: ignore[untyped-decorator]
def _report(environment: Environment, **_: object) -> None:
    gevent.spawn(desk.report, environment)


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def _close(**_: object) -> None:
    desk.close()
