"""What a run waits for, and why: in words, before it has waited for ten seconds. Pure: `watch.py` looks.

A part is waited for from the moment on that nobody answers under its name. Whoever only takes its time to start is
given a little more of it than one that is gone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from lab.containers.project import Container
from lab.errors import describe_exit

LOOK_EVERY_S = 2.0
NAMED_AFTER_S = 4.0
STARTING_S = 6.0
PATIENCE_S = 300.0
"""After so long a run gives up whoever is starting."""
GONE_S = 100.0
"""And whoever is gone: before the barrier, which knows no reason (lab/lockstep/barrier.py)."""
UNREACHED_S = 30.0
"""After so long, if a firewall is in between: nobody comes back by himself."""
_SIGNALS = 128


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is of a service one of whose parts is waited for.

    `serving`: the containers that serve other parts, by id. `taken`: one of the others has claimed the part.
    `unreached`: why the first of these does not reach the lab; None if it does, or could not be asked.
    """

    service: str
    containers: Sequence[Container]
    serving: Collection[str] = ()
    taken: bool = False
    unreached: str | None = None

    @property
    def free(self) -> list[Container]:
        """Those that could serve the part."""
        return [found for found in self.containers if found.state == "running" and found.id not in self.serving]


class Kind(Enum):
    """What is the matter, by what can be done about it."""

    GONE = auto()
    STARTING = auto()
    FROZEN = auto()
    UNREACHED = auto()


@dataclass(frozen=True, slots=True)
class Reason:
    """`text`: the end of a sentence that begins with the part's name. `patience_s`: for how long it may go on."""

    text: str
    kind: Kind = Kind.GONE
    patience_s: float = GONE_S

    @property
    def named_after_s(self) -> float:
        return STARTING_S if self.kind is Kind.STARTING else NAMED_AFTER_S


def reason_for(seen: Seen, address: str) -> Reason:
    """Why nobody serves a part. `address`: where the lab listens."""
    if not seen.containers:
        return Reason(f"the service {seen.service} has no container any more: it was removed")
    if not seen.free:
        others = [found for found in seen.containers if found.state != "running"]
        if others:
            return Reason("; ".join(f"{found.name} {_state(found)}" for found in others))
        return Reason(
            f"no container of the service {seen.service} is left for it: "
            f"the {len(seen.containers)} that run serve other parts"
        )
    if seen.unreached is not None:
        where = f"this machine at {address} ({seen.unreached})"
        return Reason(
            f"{seen.free[0].name} runs, but does not reach {where}: a firewall is in between",
            Kind.UNREACHED,
            UNREACHED_S,
        )
    if seen.taken:
        return Reason(
            f"a container of the service {seen.service} has taken it, and is still starting", Kind.STARTING, PATIENCE_S
        )
    names = ", ".join(found.name for found in seen.free)
    return Reason(f"nobody has taken it yet, for which there is {names}", Kind.STARTING, PATIENCE_S)


def _state(container: Container) -> str:
    if container.state in ("exited", "restarting", "dead") and container.exit_code is not None:
        return ended(container.exit_code)
    if container.state == "created":
        return "was never started"
    return f"is {container.health or container.state}"


def ended(exit_code: int) -> str:
    """How a container ended, as the end of a sentence: Docker has signals as exit codes above 128."""
    return describe_exit(_SIGNALS - exit_code if exit_code > _SIGNALS else exit_code)


class Waits:
    """Who is to be named now: as soon as it is time, and once for each time that it is waited for."""

    def __init__(self) -> None:
        self._named: dict[str, float] = {}

    def ripe(self, awaited: Mapping[str, float], now_s: float) -> list[str]:
        """Whose reasons are to be looked for. `awaited`: since when, by name."""
        self._named = {name: since_s for name, since_s in self._named.items() if awaited.get(name) == since_s}
        return [name for name, since_s in awaited.items() if now_s - since_s >= NAMED_AFTER_S]

    def is_to_be_named(self, name: str, since_s: float, reason: Reason, now_s: float) -> bool:
        """Whether it is, for this reason; and then it has been."""
        if name in self._named or now_s - since_s < reason.named_after_s:
            return False
        self._named[name] = since_s
        return True
