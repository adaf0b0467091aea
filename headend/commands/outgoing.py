"""A command as it goes out, whatever link it takes."""

from collections.abc import Mapping
from dataclasses import dataclass

from headend.registry import EndDevice


@dataclass(frozen=True, slots=True)
class Outgoing:
    """`envelope` (docs/command-envelope.md) is all that a wire which can carry it needs.

    `purpose` and `params` say the same to a link that must do itself what is asked, as its wire carries no envelope.
    """

    command_id: str
    device: EndDevice
    purpose: str
    params: Mapping[str, object]
    expires_s: float
    envelope: bytes
