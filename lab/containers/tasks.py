"""What Swarm tells of the tasks of a service, and what that means. Without a socket: `swarm.py` asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

FAILURES = 2
"""After so many in a row of one slot, none of them by a scenario, a service is taken for broken."""
RUNNING = "running"
"""The state of a task that its health check says is well."""
_UNPLACED = frozenset({"new", "pending", "assigned", "accepted"})
_BROKEN = frozenset({"failed", "rejected"})
_OVER = _BROKEN | {"complete", "shutdown", "orphaned", "remove"}


@dataclass(frozen=True, slots=True)
class Task:
    """`slot`: its number within its service, kept by whoever replaces it. `wanted`: it is to run, now or soon.

    `container`: the short id, "" as long as there is none. `created`: an ISO instant.
    """

    id: str
    slot: int
    created: str
    state: str
    wanted: bool
    error: str = ""
    container: str = ""
    exit_code: int | None = None

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Task:
        """From the answer of `docker inspect --type task`."""
        status = found["Status"]
        container = status.get("ContainerStatus") or {}
        return cls(
            id=found["ID"],
            slot=found.get("Slot", 0),
            created=found["CreatedAt"],
            state=status["State"],
            wanted=found["DesiredState"] in ("running", "ready"),
            error=status.get("Err", ""),
            container=container.get("ContainerID", "")[:12],
            exit_code=container.get("ExitCode"),
        )


def latest_first(found: Sequence[Mapping[str, Any]]) -> list[Task]:
    return sorted((Task.of(task) for task in found), key=lambda task: task.created, reverse=True)


def without_a_node(tasks: Sequence[Task], *, updating: bool = False) -> list[str]:
    """Why Swarm finds no node for tasks that are to run; those whose predecessor is still leaving only have to wait.

    :param tasks: the latest first.
    :param updating: then only the latest task counts: Swarm has yet to come to the others.
    """
    leaving = {task.slot for task in tasks if not task.wanted and task.state not in _OVER}
    wanted = [task for task in (tasks[:1] if updating else tasks) if task.wanted]
    waiting = [task for task in wanted if task.state == "pending" and task.slot not in leaving]
    return sorted({task.error for task in waiting if task.error})


def placed(tasks: Sequence[Task], replicas: int) -> bool:
    """Whether there are as many as there are to be, and each has a node that works on it."""
    wanted = [task for task in tasks if task.wanted]
    return len(wanted) >= replicas and all(task.state not in _UNPLACED for task in wanted)


def broken(tasks: Sequence[Task], *, ignored: Set[str]) -> dict[int, Task]:
    """The last failure of each slot that does not come to life.

    :param tasks: the latest first.
    :param ignored: tasks and containers whose end says nothing: of before, or killed by a scenario.
    """
    found: dict[int, Task] = {}
    for slot in sorted({task.slot for task in tasks}):
        own = [task for task in tasks if task.slot == slot and not ignored & {task.id, task.container}]
        ended = [task for task in own if not task.wanted][:FAILURES]
        alive = any(task.wanted and task.state == RUNNING for task in own)
        if not alive and len(ended) == FAILURES and all(task.state in _BROKEN for task in ended):
            found[slot] = ended[0]
    return found
