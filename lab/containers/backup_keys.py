"""The keys of a project in one archive, and out of it: passwords, authority, devices' keys, and what a shipment says.

Each entry is a plain file below one of ROOTS, with its mode, and whether it belongs to the containers' user. An archive
is read by these rules and by no others: what leads elsewhere, or is anything else, is refused before a byte is written.
"""

from __future__ import annotations

import errno
import os
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from pathlib import Path, PurePosixPath

from lab.containers.plain_files import opened
from lab.containers.state import BROKER, DEVICES, SECRETS, SUPPLIES, Owner, entries_below, refuse_links
from lab.errors import UserError, full_disk_as_user_error

VAULT = "secrets"
ROOTS = (VAULT, *(f"state/{name}" for name in (SUPPLIES, SECRETS, DEVICES, BROKER)))
"""Of a project's directory: all that cannot be made anew, and what belongs together with it."""
_WHOSE = ("*_password", "ca.key")
"""By which one lab is told from another; what else is in its vault comes and goes with runs."""
_LEFT_OUT = frozenset({"hold"})
"""What says something of a run that was under way."""
_THEIRS, _OURS = 1, 0
"""The number of an entry's user: that of the containers, or whoever restores."""
_GONE = (errno.ENOENT, errno.ELOOP, errno.EINVAL, None)
"""It became a link, or a pipe, or shorter, which tarfile has no number for."""
_MOST_MODE = 0o700 | 0o044
_MOST_FILE_BYTES = 256 << 20
_MOST_PARTS, _MOST_NAME_BYTES = 8, 255
_MOST_ENTRIES = 200_000
"""Of 20,000 meters, and as many again for whatever comes."""


def pack(project: Path, owner: Owner, to: Path) -> None:
    """Write the archive to a new file of this user alone. Raises OSError.

    :raises UserError: naming everything that `unpack` would refuse, or what changed meanwhile; or as `refuse_links`.
    """
    for root in ROOTS:
        with suppress(FileNotFoundError), os.scandir(project / root):
            pass  # one that is closed to us is not empty
    refuse_links(*(project / root for root in ROOTS))
    found = [(_entry(path, project, owner), path) for path in _files(project)]
    if faults := _faults([entry for entry, _ in found]):
        raise UserError([f"in {project}: {fault}" for fault in faults], "amilab makes no such thing: remove it.")
    descriptor = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with (
        os.fdopen(descriptor, "wb") as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for entry, path in found:
            try:
                with opened(path) as content:
                    if os.fstat(content.fileno()).st_size != entry.size:
                        raise _changed(path)
                    archive.addfile(entry, content)
            except OSError as error:
                if error.errno in _GONE:
                    raise _changed(path) from error
                raise


def _entry(path: Path, project: Path, owner: Owner) -> tarfile.TarInfo:
    try:
        facts = path.lstat()
    except FileNotFoundError as error:
        raise _changed(path) from error
    entry = tarfile.TarInfo(path.relative_to(project).as_posix())
    entry.size, entry.mode, entry.mtime = facts.st_size, facts.st_mode & 0o777, int(facts.st_mtime)
    entry.uid = entry.gid = _THEIRS if facts.st_uid == owner.uid else _OURS
    return entry


def _changed(path: Path) -> UserError:
    return UserError(f"{path} changed while it was written down", "Back up again.")


def unpack(archive_file: Path, to: Path, owner: Owner) -> None:
    """Write the files below `to`, a new directory that nobody else gets into.

    :raises UserError: naming every entry that does not belong there. Nothing was written.
    """
    try:
        with full_disk_as_user_error(), tarfile.open(archive_file, mode="r:") as archive:
            entries = list(islice(archive, _MOST_ENTRIES + 1))
            if faults := _faults(entries):
                raise UserError([f"{archive_file.name}: {fault}" for fault in faults], "Use another backup.")
            for entry in entries:
                content = archive.extractfile(entry)
                assert content is not None, "an entry that is no file was refused"
                _write(to / entry.name, content.read(), entry, owner, to)
    except tarfile.TarError as error:
        raise UserError(f"{archive_file.name} cannot be read: {error}", "Use another backup.") from None


def is_there_already(project: Path, unpacked: Path) -> bool:
    """Whether the project has the backup's passwords and authority, and perhaps some that a newer release wants too."""
    return _identity(unpacked / VAULT).items() <= _identity(project / VAULT).items()


def _identity(vault: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for pattern in _WHOSE for path in sorted(vault.glob(pattern))}


def has_keys(project: Path) -> bool:
    return any(True for _ in _below(project / VAULT))


@contextmanager
def installed(project: Path, unpacked: Path, aside: Path) -> Iterator[None]:
    """Put what was unpacked in its place. If the block fails, everything is where it was.

    The lab's own keys stay as they are: who was revoked since the backup is not let in again. Others that were there
    are in `aside` then, beside their place. What else was there goes with `unpacked`, which is on the same disks.

    :raises UserError: it cannot be put there.
    """
    with ExitStack() as undo:

        def move(path: Path, to: Path) -> None:
            path.rename(to)
            undo.callback(to.rename, path)

        try:
            for root in (f"state/{SUPPLIES}",) if is_there_already(project, unpacked) else ROOTS:
                new, place = unpacked / root, project / root
                if not new.is_dir():
                    continue
                if os.path.lexists(place):
                    is_kept = root == VAULT and any(place.iterdir())
                    move(place, aside if is_kept else new.with_name(f"{new.name}.replaced"))
                place.parent.mkdir(exist_ok=True, parents=True)
                move(new, place)
            # What the database commits is on its disk at once, and what belongs to it has to be, too.
            os.sync()
        except OSError as error:
            raise UserError(
                f"the backup's keys cannot be put in their place: {error.strerror}: {error.filename}",
                "Restore as whoever made the project, or as root. Database and keys are as they were.",
            ) from error
        yield
        undo.pop_all()


def _files(project: Path) -> Iterator[Path]:
    for root in ROOTS:
        yield from (path for path in _below(project / root) if path.name not in _LEFT_OUT)


def _below(directory: Path) -> Iterator[Path]:
    return iter(sorted(Path(entry.path) for entry in entries_below(directory) if entry.is_file(follow_symlinks=False)))


def _faults(entries: Sequence[tarfile.TarInfo]) -> list[str]:
    if len(entries) > _MOST_ENTRIES:
        return [f"there are more than {_MOST_ENTRIES:,} files"]
    names = Counter(entry.name for entry in entries)
    return [
        *(fault for entry in entries if (fault := _fault(entry))),
        *(
            f"{name!r} lies in another file"
            for name in names
            if any(str(parent) in names for parent in PurePosixPath(name).parents)
        ),
        *(f"{name!r} is there twice" for name, count in names.items() if count > 1),
    ]


def _fault(entry: tarfile.TarInfo) -> str | None:
    path = PurePosixPath(entry.name)
    # Of a sparse one a few bytes make gigabytes.
    if not entry.isreg() or entry.issparse():
        return f"{entry.name!r} is no plain file"
    if path.is_absolute() or ".." in path.parts or str(path) != entry.name or "\0" in entry.name:
        return f"{entry.name!r} leads out of the project"
    if not any(path.is_relative_to(root) and path != PurePosixPath(root) for root in ROOTS):
        return f"{entry.name!r} is none of {', '.join(ROOTS)}"
    if len(path.parts) > _MOST_PARTS or max(map(len, map(os.fsencode, path.parts))) > _MOST_NAME_BYTES:
        return f"{entry.name[:60]!r}… is no name of a key"
    if entry.size > _MOST_FILE_BYTES:
        return f"{entry.name!r} is too large for what it says to be"
    return None


def _write(path: Path, content: bytes, entry: tarfile.TarInfo, owner: Owner, top: Path) -> None:
    for parent in reversed(path.relative_to(top).parents[:-1]):
        (top / parent).mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        os.fchmod(file.fileno(), entry.mode & _MOST_MODE)
    if entry.uid == _THEIRS:
        owner.take(path)
