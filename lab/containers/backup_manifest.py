"""What a backup says of itself: `manifest.json`, written last, so that what has none is no backup.

A sum tells a part that was cut short or changed from one that is whole. Against somebody who writes both there is the
digest of the manifest, which `amilab compose backup` prints and `restore --digest` compares.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, BinaryIO, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lab.containers.plain_files import opened
from lab.errors import UserError, faults_of, full_disk_as_user_error

MANIFEST = "manifest.json"
PartName = Literal["database.dump", "roles.json", "keys.tar", "settings.env"]
PARTS: tuple[PartName, ...] = get_args(PartName)
DATABASE, ROLES, KEYS, SETTINGS = PARTS
_ANOTHER = "Use another backup: this one cannot be relied on. Nothing was changed."
_NAME_ONE = "Name a directory that `amilab compose backup` has written."
_BLOCK_BYTES = 1 << 20
_MOST_MANIFEST_BYTES = 16 << 20
_MOST_BYTES: Mapping[PartName, int] = {ROLES: 64 << 20, KEYS: 1 << 30, SETTINGS: 1 << 20}
"""Of what is read into memory, and more than 20,000 meters take."""
_Words = Annotated[str, Field(pattern=r"^[ -~]*$")]
"""What is shown in a terminal, and written down in a database."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Part(_Frozen):
    """A file of the backup."""

    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class SchemaFacts(_Frozen):
    """Of one head-end's schema: its last migration, and how many rows each relation has."""

    migration: str
    rows: dict[str, Annotated[int, Field(ge=0)]]

    @property
    def readings(self) -> int:
        return self.rows.get("interval_reading", 0)


class Manifest(_Frozen):
    """`postgresql`: the server's version, and the number that it goes by. `timescaledb`: the extension's version."""

    format: Literal[1] = 1
    made_at: _Words
    project: _Words
    amilab: _Words
    postgresql: _Words
    postgresql_major: int
    timescaledb: _Words | None
    schemas: dict[Annotated[str, Field(pattern=r"^[^\x00]+$")], SchemaFacts]
    parts: dict[PartName, Part]

    @property
    def readings(self) -> int:
        return sum(schema.readings for schema in self.schemas.values())

    def to_bytes(self) -> bytes:
        return (json.dumps(self.model_dump(), indent=1) + "\n").encode()


def part_of(path: Path) -> Part:
    """Size and sum of a file. Raises OSError."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            size += len(block)
    return Part(bytes=size, sha256=digest.hexdigest())


def fault_of_size(name: PartName, size: int) -> str | None:
    """Why a part is not restored, however whole it is. None: it is."""
    most = _MOST_BYTES.get(name, size)
    return None if size <= most else f"{name} has {size:,} bytes, and no lab has more than {most:,}"


def digest_of(manifest: bytes) -> str:
    """By which somebody who has it written down elsewhere knows a backup again."""
    return hashlib.sha256(manifest).hexdigest()


def read_backup(directory: Path, copy: Path, *, digest: str | None = None) -> Manifest:
    """The manifest of a backup that is whole, whose parts are in `copy` then. Use those: whoever can write `directory`
    may change there what was found right.

    :param copy: an empty directory that nobody else gets into.
    :param digest: that the manifest must have.
    :raises UserError: naming everything that is wrong with it; or there is no space for the copy.
    """
    if not directory.is_dir():
        raise UserError(f"there is no directory {directory}", _NAME_ONE)
    try:
        with opened(directory / MANIFEST) as file:
            said = file.read(_MOST_MANIFEST_BYTES)
    except FileNotFoundError:
        raise UserError(f"{directory} is no whole backup: it has no {MANIFEST}", _NAME_ONE) from None
    except OSError as error:
        raise UserError(f"{directory / MANIFEST} cannot be read: {error.strerror}", _ANOTHER) from None
    faults = []
    if digest is not None and digest_of(said) != digest.lower():
        faults.append(f"{MANIFEST} has the digest {digest_of(said)}, and --digest is another")
    try:
        manifest = Manifest.model_validate_json(said)
    except ValidationError as error:
        faults += [f"{MANIFEST}: {fault}" for fault in faults_of(error)]
        raise UserError(faults, _ANOTHER) from None
    faults += _faults_of_parts(directory, copy, manifest)
    if faults:
        raise UserError(faults, _ANOTHER)
    return manifest


def _faults_of_parts(directory: Path, copy: Path, manifest: Manifest) -> list[str]:
    faults = [f"{MANIFEST} does not name {name}" for name in PARTS if name not in manifest.parts]
    faults += [fault for name, part in manifest.parts.items() if (fault := fault_of_size(name, part.bytes))]
    size, free = sum(part.bytes for part in manifest.parts.values()), shutil.disk_usage(copy).free
    if size > free:
        faults.append(f"the backup has {size:,} bytes, and there is space for {free:,} in {copy.parent}")
    if faults:
        return faults
    for name, wanted in manifest.parts.items():
        path = directory / name
        if path.is_symlink() or not path.is_file():
            faults.append(f"{name} is missing")
            continue
        try:
            with full_disk_as_user_error():
                found = _copied(path, copy / name, wanted.bytes)
        except OSError as error:
            faults.append(f"{name} cannot be read: {error.strerror}")
            continue
        if found.bytes != wanted.bytes:
            faults.append(f"{name} has {found.bytes:,} bytes, and had {wanted.bytes:,}: it was cut short or changed")
        elif found.sha256 != wanted.sha256:
            faults.append(f"{name} is not what it was: its SHA-256 is {found.sha256}, and was {wanted.sha256}")
    known = {MANIFEST, *manifest.parts}
    faults += [
        f"{path.name} is no part of the backup" for path in sorted(directory.iterdir()) if path.name not in known
    ]
    return faults


def _copied(path: Path, to: Path, wanted_bytes: int) -> Part:
    """Size and sum of a file, which is copied if it has the size that is wanted, and no further. Raises OSError."""
    with opened(path) as file:
        found = os.fstat(file.fileno()).st_size
        if found != wanted_bytes:
            return Part(bytes=found, sha256=hashlib.sha256().hexdigest())
        with to.open("xb") as copy:
            _copy(file, copy, wanted_bytes)
    return part_of(to)


def _copy(file: BinaryIO, to: BinaryIO, size: int) -> None:
    while size > 0 and (block := file.read(min(_BLOCK_BYTES, size))):
        to.write(block)
        size -= len(block)
