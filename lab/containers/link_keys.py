"""The lab link's keys of a project: the lab's own, and one for each service that takes parts.

A service's containers stand in for each other, and so share its key; another service's they do not see. All keys lie in
`secrets/`; Docker gives each service its own as a secret (docs/lab-link.md).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.containers.settings import INIT_HINT
from lab.containers.state import Owner
from lab.errors import UserError
from lab.keys.pki import write_file
from lab.lockstep.link_keys import KeyPair, PartKey

KINDS: Sequence[str] = ("grid", "meters", "gateways", "ingest", "poller", "outages")
"""Of parts: one for each service."""
LAB = "link-lab.key"
"""In `secrets/`: the lab's own pair, and the public keys of all kinds."""


@dataclass(frozen=True, slots=True)
class LinkKeys:
    """`parts`: the public key of each kind of part."""

    lab: KeyPair
    parts: Mapping[str, str]


def make_link_keys(directory: Path, owner: Owner) -> list[Path]:
    """Write the keys that are missing in a project's `secrets/`. Returns what was written."""
    vault = directory / "secrets"
    path = vault / LAB
    keys = _read(path) if path.exists() else LinkKeys(KeyPair.new(), {})
    parts = dict(keys.parts)
    written = []
    for kind in KINDS:
        place = vault / f"link-{kind}.key"
        if kind in parts and place.exists():
            continue
        own = KeyPair.new()
        parts[kind] = own.public
        write_file(place, PartKey(own, keys.lab.public).to_text().encode(), give=owner.take)
        written.append(place)
    if written:
        document = {"public": keys.lab.public, "secret": keys.lab.secret, "parts": parts}
        write_file(path, json.dumps(document).encode(), give=owner.take)
        written.insert(0, path)
    return written


def read_link_keys(directory: Path) -> LinkKeys:
    """Raises UserError: the project has none yet."""
    path = directory / "secrets" / LAB
    try:
        return _read(path)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"the lab link's keys cannot be read from {path}", INIT_HINT) from error


def _read(path: Path) -> LinkKeys:
    found = json.loads(path.read_text())
    return LinkKeys(KeyPair(found["public"], found["secret"]), found["parts"])
