"""What the operating system must allow a shard."""

from __future__ import annotations

import resource

from meters.errors import FleetError

_FILES_BESIDE_SOCKETS = 64


def allow_sockets(meters: int) -> None:
    """Raise the limit of open files as far as it goes. Raises FleetError if it is less than a socket per meter."""
    needed = meters + _FILES_BESIDE_SOCKETS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise FleetError(
            f"{meters} meters need {needed} open files, the system allows {hard}: raise the hard limit "
            "(`ulimit -Hn`, or LimitNOFILE= of the service), or use more shards"
        )
