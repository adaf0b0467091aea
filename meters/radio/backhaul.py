"""Between collectors and the broker: one TCP connection each. What is urgent goes ahead of what waits to be sent."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meters.device.draws import Purpose, uniform
from meters.radio.frames import Frames
from meters.radio.parameters import BackhaulParameters
from meters.radio.passage import Cause, DeliveryClass, Direction, Passage
from meters.radio.tcp import retransmissions


class Backhaul:
    """Row i is the collector with `keys[i]`."""

    def __init__(self, keys: NDArray[np.uint64], parameters: BackhaulParameters) -> None:
        self._keys = keys
        self._parameters = parameters
        self._free_s = np.full((2, len(keys)), -np.inf)
        self._last_s = np.full((2, len(keys)), -np.inf)

    def up(self, frames: Frames) -> Passage:
        """To the broker; `rows` number collectors. What is sent later has to be given later."""
        return self._carry(frames, Direction.UP)

    def down(self, frames: Frames) -> Passage:
        """To the collectors."""
        return self._carry(frames, Direction.DOWN)

    def _carry(self, frames: Frames, direction: Direction) -> Passage:
        p = self._parameters
        keys = frames.keys(self._keys, direction)
        passage = Passage.of(len(frames))
        delay_s = uniform(keys, Purpose.BACKHAUL_DELAY, 0, p.latency_least_s, p.latency_most_s)
        again = retransmissions(keys, Purpose.BACKHAUL_LOSS, np.full(len(frames), p.loss_share))
        delay_s += p.retransmission_s * (2.0**again - 1.0)
        air_s = frames.size_bytes * 8.0 / p.bps
        free_s, last_s = self._free_s[int(direction)], self._last_s[int(direction)]
        ranks = np.where(frames.of_class(DeliveryClass.GASP), 1, frames.delivery_class)
        for at in np.lexsort((np.arange(len(frames)), ranks, frames.sent_s)).tolist():
            row = int(frames.rows[at])
            free_s[row] = max(free_s[row], frames.sent_s[at]) + air_s[at]
            last_s[row] = max(last_s[row], free_s[row] + delay_s[at])
            passage.arrives_s[at] = last_s[row]
        passage.hops[:] = 1
        passage.attempts[:] = 1 + again
        passage.cause[again > 0] = int(Cause.BACKHAUL)
        return passage
