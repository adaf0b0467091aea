"""Between collectors and the broker: one TCP connection each. What is urgent goes ahead of what waits to be sent."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from meters.device.draws import Purpose, uniform
from meters.radio.frames import Frames
from meters.radio.parameters import BackhaulParameters
from meters.radio.passage import Cause, DeliveryClass, Direction, Passage
from meters.radio.tcp import retransmissions

_REMEMBERED_S = 600.0
"""So long after it left, a frame can still hold up another: longer than all retransmissions."""


@dataclass(slots=True)
class _Queue:
    """What waits at one end of one connection."""

    urgent_until_s: float = -np.inf
    bulk_until_s: float = -np.inf
    last_bulk_s: float = 0.0
    """How long the last bulk frame takes to be sent."""
    urgent_arrived_s: float = -np.inf
    left_s: list[float] = field(default_factory=list)
    """When bulk frames leave, in that order, and when they and all before them have arrived."""
    arrived_s: list[float] = field(default_factory=list)

    def urgent(self, sent_s: float, takes_s: float, delay_s: float) -> float:
        """When a frame arrives that waits for none but the one on the wire, and for others as urgent."""
        behind_s = min(max(self.bulk_until_s - sent_s, 0.0), self.last_bulk_s)
        leaves_s = max(sent_s + behind_s, self.urgent_until_s) + takes_s
        self.urgent_until_s = leaves_s
        if self.bulk_until_s > sent_s:
            self.bulk_until_s += takes_s
        before = bisect_right(self.left_s, leaves_s)
        held_s = self.arrived_s[before - 1] if before else -np.inf
        self.urgent_arrived_s = max(leaves_s + delay_s, held_s, self.urgent_arrived_s)
        return self.urgent_arrived_s

    def bulk(self, sent_s: float, takes_s: float, delay_s: float) -> float:
        """When a frame arrives that waits for all before it."""
        leaves_s = max(sent_s, self.bulk_until_s, self.urgent_until_s) + takes_s
        self.bulk_until_s, self.last_bulk_s = leaves_s, takes_s
        arrives_s = max(leaves_s + delay_s, self.urgent_arrived_s, self.arrived_s[-1] if self.arrived_s else -np.inf)
        forgotten = bisect_right(self.left_s, sent_s - _REMEMBERED_S)
        del self.left_s[:forgotten], self.arrived_s[:forgotten]
        self.left_s.append(leaves_s)
        self.arrived_s.append(arrives_s)
        return arrives_s


class Backhaul:
    """Row i is the collector with `keys[i]`.

    It remembers what is under way: frames have to be given in the order in which they are sent.
    """

    def __init__(self, keys: NDArray[np.uint64], parameters: BackhaulParameters) -> None:
        self._keys = keys
        self._parameters = parameters
        self._queues = {direction: [_Queue() for _ in keys] for direction in Direction}

    def up(self, frames: Frames) -> Passage:
        """To the broker; `rows` number collectors. Nothing is lost, and what is lost on the way is only late."""
        return self._carry(frames, Direction.UP)

    def down(self, frames: Frames) -> Passage:
        """To the collectors."""
        return self._carry(frames, Direction.DOWN)

    def _carry(self, frames: Frames, direction: Direction) -> Passage:
        p = self._parameters
        keys = frames.keys(self._keys, direction)
        passage = Passage.of(len(frames))
        again = retransmissions(keys, Purpose.BACKHAUL_LOSS, np.full(len(frames), p.loss_share))
        delay_s = uniform(keys, Purpose.BACKHAUL_DELAY, 0, p.latency_least_s, p.latency_most_s)
        delay_s += p.retransmission_s * (2.0**again - 1.0)
        takes_s = frames.size_bytes * 8.0 / p.bps
        ranks = frames.ranks
        queues = self._queues[direction]
        for at in np.lexsort((ranks, frames.sent_s)).tolist():
            queue = queues[frames.rows[at]]
            send = queue.bulk if ranks[at] >= DeliveryClass.READ.rank else queue.urgent
            passage.arrives_s[at] = send(float(frames.sent_s[at]), float(takes_s[at]), float(delay_s[at]))
        passage.hops[:] = 1
        passage.attempts[:] = 1 + again
        late = passage.arrives_s - frames.sent_s > p.latency_most_s + takes_s
        passage.cause[late] = int(Cause.BACKHAUL)
        return passage
