"""What a scenario may do to the network of a part, or to its process, where that is a container of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FaultKind = Literal["disconnect", "pause", "loss", "delay"]
LONGEST_S = 60
"""Half of what the lab waits for a part that neither answers nor dies (`Barrier.stall_s`)."""


@dataclass(frozen=True, slots=True)
class NetworkFault:
    """For `wall_s` seconds of the wall clock, which connections, keep-alives and retransmissions live on.

    `disconnect`: off the network; connections are not closed, packets vanish. `pause`: the processes are frozen.
    `loss`: that share of the packets is dropped, each way. `delay`: each packet leaves `delay_ms` later; only where
    the kernel has netem.
    """

    kind: FaultKind
    wall_s: int
    loss: float = 0.0
    delay_ms: int = 0

    @property
    def label(self) -> str:
        """In words, without whom it hits."""
        what = {
            "disconnect": "off the network",
            "pause": "frozen",
            "loss": f"{self.loss:.0%} of its packets lost",
            "delay": f"packets {self.delay_ms} ms late",
        }[self.kind]
        return f"{what} for {self.wall_s} s of wall clock"
