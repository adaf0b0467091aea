"""Who is who on the lab link: a pair of CURVE keys for the lab, and one for each part (docs/lab-link.md).

Keys are texts of 40 characters (Z85), as libzmq takes them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import zmq

VARIABLE = "AMILAB_LINK_KEY"
"""In the environment of a part that is a process of this machine: its `PartKey`."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    public: str
    secret: str = field(repr=False)

    @classmethod
    def new(cls) -> KeyPair:
        public, secret = zmq.curve_keypair()
        return cls(public.decode(), secret.decode())


@dataclass(frozen=True, slots=True)
class PartKey:
    """What a part needs: its own pair, and by which key it knows the lab."""

    own: KeyPair
    lab: str

    def to_text(self) -> str:
        return json.dumps({"public": self.own.public, "secret": self.own.secret, "lab": self.lab})

    @classmethod
    def from_text(cls, text: str) -> PartKey:
        """Raises ValueError or KeyError for what `to_text` has not written."""
        found = json.loads(text)
        return cls(KeyPair(found["public"], found["secret"]), found["lab"])
