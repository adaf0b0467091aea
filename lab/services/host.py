"""What a run asks of its machine: a private directory, an unprivileged user, room on the disk, open files."""

from __future__ import annotations

import os
import pwd
import resource
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.errors import SPACE_HINT, UserError
from lab.processes.reaper import DIRECTORY_PREFIX, Reaper
from lab.processes.supervisor import Identity

_MIB = 1 << 20


def make_private_directory(reaper: Reaper) -> Path:
    """A new directory for the run's databases, sockets and keys, removed when the run ends in whatever way.

    It lies in TMPDIR and not among the results: services that run as an unprivileged user must be able to reach it,
    and a home directory often forbids that. If they do, others may pass through, but list nothing. Raises UserError.
    """
    base = Path(tempfile.gettempdir()).resolve()
    if os.geteuid() == 0 and not is_reachable_by_all(base):
        raise UserError(
            f"the directory for temporary files, {base}, cannot be entered by unprivileged users",
            "As root the services run as an unprivileged user. Set TMPDIR to a place that all may enter, say /tmp.",
        )
    directory = Path(tempfile.mkdtemp(prefix=DIRECTORY_PREFIX, dir=base))
    reaper.own_directory(directory)
    directory.chmod(0o700 if unprivileged_identity() is None else 0o711)
    return directory


@contextmanager
def private_files() -> Iterator[None]:
    """What is made meanwhile, by this process and those that it starts, is for this user alone."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def unprivileged_identity() -> Identity | None:
    """Whom services run as: `nobody` when the lab is root (PostgreSQL refuses root), else the lab's own user (None).

    A name is needed, since initdb looks its user up. Raises UserError if there is no such user.
    """
    if os.geteuid() != 0:
        return None
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise UserError(
            "there is no user 'nobody' on this machine, and PostgreSQL does not run as root",
            "Run amilab as an ordinary user, create the user 'nobody', or pass --database-url.",
        ) from None
    return Identity(nobody.pw_uid, nobody.pw_gid)


def give_to(path: Path, identity: Identity | None) -> None:
    """Make `path` belong to the user whom a service runs as, and to nobody else."""
    path.chmod(0o700 if path.is_dir() else 0o600)
    if identity is not None:
        os.chown(path, identity.uid, identity.gid)


def is_reachable_by_all(directory: Path) -> bool:
    """Whether every user may enter `directory` and pass through all directories above it."""
    directory = directory.resolve()
    return all(place.stat().st_mode & stat.S_IXOTH for place in [directory, *directory.parents])


def require_free_space(path: Path, size_bytes: int) -> None:
    """Raise UserError unless `size_bytes` are free where `path` is, or will be. Unprivileged quotas are not seen."""
    existing = next(candidate for candidate in [path.absolute(), *path.absolute().parents] if candidate.exists())
    free = shutil.disk_usage(existing).free
    if free < size_bytes:
        raise UserError(
            f"{existing} has {free / _MIB:,.0f} MiB free; the run needs {size_bytes / _MIB:,.0f} MiB",
            SPACE_HINT,
        )


def allow_many_files() -> None:
    """Let this process open as many files as it may: a port that others can reach is one at which they take some."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def require_open_files(count: int) -> None:
    """Let this process and its children open `count` files each. Raises UserError if the hard limit is lower."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        if hard != resource.RLIM_INFINITY and hard < count:
            raise UserError(
                f"each process may open {hard:,} files; this fleet needs {count:,} (one connection for each meter)",
                f"Raise the limit (ulimit -Hn {count}, or LimitNOFILE / limits.conf), or run fewer meters.",
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
