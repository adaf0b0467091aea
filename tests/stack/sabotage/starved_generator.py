"""A generator that gets no processor: each of its sends stops all others, too, for longer than there is time."""

import gevent.monkey

from loadtests.__main__ import run
from loadtests.desk import Desk
from loadtests.duties import Duty

STOPPED_S = 0.5
enter = Desk.enter
stop_the_process = gevent.monkey.get_original("time", "sleep")


def starve(self: Desk, duty: Duty) -> int:
    stop_the_process(STOPPED_S)
    return enter(self, duty)


if __name__ == "__main__":
    Desk.enter = starve  # type: ignore[method-assign] # that is the sabotage
    run()
