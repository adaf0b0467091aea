"""The directory that the lab shares with its containers, each part of it mounted only where it is needed.

plan/      who is to do what (read by all of ours)
supplies/  shipment file, network model, the CA's certificates (read by meters and head-end)
secrets/   the head-end's command key and certificate (read by the head-end)
devices/   each device's key and certificate (read by meters and gateways)
memory/    the meters' durable memories (written by meters and gateways)
results/   truth and network model (written by the grid alone: it is what all others are judged by)
journals/  what the meters recorded, and what became of frames (written by meters and gateways)
loadtest/  the plan of a load test, and what its generator leaves (written by Locust's processes)
broker/    the broker's configuration, key and certificate (read by the broker)

The lab may be root, and containers write here: so the lab goes through no symbolic link, and no deeper than it builds.
"""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from lab.containers.plain_files import opened
from lab.containers.plan import ROOT
from lab.errors import SPACE_HINT, UserError
from lab.run.layout import JOURNAL, NETWORK, Layout
from lab.verdict.tables import DELIVERIES_DIRECTORY

PLAN, SUPPLIES, SECRETS, DEVICES, MEMORY, RESULTS, JOURNALS, BROKER, LOADTEST = PARTS = (
    "plan", "supplies", "secrets", "devices", "memory", "results", "journals", "broker", "loadtest",
)  # fmt: skip
_LINKS_HINT = "Find out who made it, then remove it: amilab makes none there. state/ itself may be a link, of yours."
_MOST_FAULTS = 12
_MOST_LEVELS = 12
"""More than amilab makes, and few enough for any path to be short enough and any removal to end."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The numeric user and group that our containers run as."""

    uid: int
    gid: int

    def take(self, path: Path) -> None:
        """Make a file or directory theirs; only root can, and only root's files are not theirs anyway."""
        if os.geteuid() == 0:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def make_state(root: Path, owner: Owner) -> None:
    """Create what is missing. Nobody but the owner gets into `root`; what is mounted from it is seen by its mode.

    :raises UserError: there is something else in it than files and directories, or these are deeper than any of ours.
    """
    root.mkdir(exist_ok=True, parents=True)
    root.chmod(0o700)
    # The conductor's container has it as a whole.
    owner.take(root)
    for name in PARTS:
        # The broker's container has a user of its own.
        _make_directory(root / name, 0o755 if name == BROKER else 0o750, owner)
    # Of the runs in the others we go into none but our own.
    refuse_links(*(root / name for name in PARTS if name not in (MEMORY, RESULTS, JOURNALS)))


def refuse_links(*among: Path) -> None:
    """:raises UserError: naming everything below these that is neither file nor directory: through a symbolic link what
    is written would go elsewhere, and a pipe would keep whoever reads it. Or see `entries_below`.
    """
    found = [
        f"{entry.path} is {'a symbolic link' if entry.is_symlink() else 'no file'}"
        for directory in among
        for entry in entries_below(directory)
        if not entry.is_dir(follow_symlinks=False) and not entry.is_file(follow_symlinks=False)
    ]
    if found:
        raise UserError(found, _LINKS_HINT)


def entries_below(top: Path) -> Iterator[os.DirEntry[str]]:
    """Whatever is below a directory. Symbolic links are not followed; what cannot be looked into is passed over.

    :raises UserError: directories are deeper than any of ours: whoever walks or removes them would fail half-way.
    """
    waiting = [(str(top), 0)]
    while waiting:
        place, level = waiting.pop()
        if level > _MOST_LEVELS:
            raise UserError(
                f"{top} has directories that are more than {_MOST_LEVELS} deep",
                f"amilab makes none so deep. Find out who made them, then remove them: rm -r {top}",
            )
        with suppress(OSError), os.scandir(place) as entries:
            for entry in entries:
                yield entry
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((entry.path, level + 1))


def remove_tree(path: Path) -> None:
    """Remove a file, a symbolic link, or a directory with all that is in it.

    :raises UserError: directories are deeper than any of ours, see `entries_below`. Nothing is removed then.
    """
    _refuse_abysses(path)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _refuse_abysses(top: Path) -> None:
    if not top.is_symlink():
        deque(entries_below(top), maxlen=0)


def _copy_file(source: str, to: str) -> None:
    """The content of a file, and nothing of its mode: it may be one with which whoever runs it would be somebody else.

    Raises OSError.
    """
    with opened(Path(source)) as file, Path(to).open("wb") as copy:
        shutil.copyfileobj(file, copy)


def _make_directory(path: Path, mode: int, owner: Owner) -> None:
    with suppress(FileExistsError):
        path.mkdir()
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except NotADirectoryError:
        raise UserError(f"{path} is no directory", _LINKS_HINT) from None
    try:
        os.fchmod(descriptor, mode)
        if os.geteuid() == 0:
            os.fchown(descriptor, owner.uid, owner.gid)
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class SharedLayout(Layout):
    """The files of a run in the shared directory, which containers find below `/state`."""

    root: Path
    owner: Owner

    @classmethod
    def of(cls, root: Path, owner: Owner, run: str) -> SharedLayout:
        """With directories of this run for memories and results.

        Removed are earlier runs' memories, and what is left of those that were not collected: demonstrations are.

        :raises UserError: in one of those, directories are deeper than any of ours. Nothing is removed then.
        """
        unfinished = (path for path in (root / RESULTS).iterdir() if not (root / JOURNALS / path.name).exists())
        gone = (*(root / MEMORY).iterdir(), *unfinished)
        for old in gone:
            _refuse_abysses(old)
        for old in gone:
            remove_tree(old)
        layout = cls(root / SUPPLIES, root / SECRETS, root / MEMORY / run, root / RESULTS / run, root, owner)
        for directory in (layout.memory, layout.results):
            layout.hand_out_directory(directory)
        return layout

    @property
    def network_model(self) -> Path:
        return self.supplies / NETWORK

    def beside(self, name: str) -> SharedLayout:
        # What is mounted is the directory of all runs' results.
        return replace(self, results=self.results.with_name(f"{self.results.name}-{name}"))

    def journal(self, results: Path) -> Path:
        return self.root / JOURNALS / results.name

    def deliveries(self, results: Path) -> Path:
        return self.root / JOURNALS / f"{results.name}-{DELIVERIES_DIRECTORY}"

    def seen(self, path: Path) -> str:
        return str(ROOT / path.relative_to(self.root))

    def hand_out(self, path: Path) -> Path:
        place = path
        if path.is_relative_to(self.results):
            # Only who writes results has them mounted.
            refuse_links(self.results)
            place = self.supplies / path.name
            place.unlink(missing_ok=True)
            _copy_file(str(path), str(place))
        place.chmod(0o600)
        self.owner.take(place)
        return place

    def hand_out_directory(self, path: Path) -> Path:
        _make_directory(path, 0o750, self.owner)
        return path

    def collect(self, directory: Path) -> None:
        """:raises UserError: a container has left a symbolic link, to what we may read and it may not; or there is no
        space for what containers have left.
        """
        own = {self.results: directory, self.journal(self.results): directory / JOURNAL}
        if (deliveries := self.deliveries(self.results)).exists():
            own[deliveries] = directory / DELIVERIES_DIRECTORY
        refuse_links(*own)
        entries = (entry for place in own for entry in entries_below(place))
        size = sum(entry.stat(follow_symlinks=False).st_size for entry in entries)
        free = shutil.disk_usage(directory).free
        if size > free:
            raise UserError(
                f"the run's results have {size:,} bytes, and {directory} has space for {free:,}", SPACE_HINT
            )
        try:
            for place, to in own.items():
                shutil.copytree(place, to, dirs_exist_ok=True, copy_function=_copy_file)
        except shutil.Error as error:
            faults = [f"{path} cannot be brought home: {why}" for path, _, why in error.args[0]]
            more = [f"and {len(faults) - _MOST_FAULTS:,} others"] if len(faults) > _MOST_FAULTS else []
            raise UserError(faults[:_MOST_FAULTS] + more) from error
        directory.chmod(0o700)  # it has been given that of the other
        for place in own:
            shutil.rmtree(place)
