"""A cellular network: each meter has a modem of its own, and TCP over it.

The sites of an operator stand on a grid over the plane, the same for whoever looks. A meter is served by the site that
it hears best; where none is heard well enough there is a hole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from meters.device.draws import Purpose, normal, uniform
from meters.radio.frames import Frames
from meters.radio.parameters import CellularParameters
from meters.radio.passage import Cause, Direction, Passage
from meters.radio.tcp import in_order, retransmissions

SLOWER_AT_EDGE = 10.0
"""At the end of coverage a byte takes so many times as long as where it is easy. An assumption of amilab's."""
LEAST_LEFT = 0.05
"""Of a cell's attaches, however congested it is. An assumption of amilab's."""
_NEIGHBOURS = np.array([(east, north) for north in (-1, 0, 1) for east in (-1, 0, 1)], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What is wrong with cells and operators, by name. `loads`: by cell, messages a second besides the meters'."""

    cells_down: frozenset[str] = frozenset()
    operators_out: frozenset[str] = frozenset()
    loads: Mapping[str, float] = field(default_factory=dict)


class Cells:
    """Row i of n is the meter at `positions_m[i]`, in metres east and north of the origin that all share."""

    def __init__(
        self, positions_m: NDArray[np.float64], keys: NDArray[np.uint64], parameters: CellularParameters
    ) -> None:
        self._parameters = parameters
        self._keys = keys
        n = len(keys)
        self._operator = np.floor(uniform(keys, Purpose.OPERATOR, 0, 0.0, parameters.operators)).astype(np.int64)
        self.coupling_loss_db, site = self._serving(positions_m)
        """(n,) between each meter and the site that it hears best."""
        self.operator = [operator_name(number) for number in self._operator.tolist()]
        """(n,) names."""
        self.cell = [f"{operator}/{cell_name(*at)}" for operator, at in zip(self.operator, site.tolist(), strict=True)]
        """(n,) names, of whatever operator."""
        self._last_s = np.full((2, n), -np.inf)
        self.disturb(Disturbance())

    @property
    def covered(self) -> NDArray[np.bool_]:
        """(n,) who is in no hole."""
        covered: NDArray[np.bool_] = self.coupling_loss_db <= self._parameters.most_coupling_loss_db
        return covered

    @property
    def in_service(self) -> NDArray[np.bool_]:
        """(n,) who is covered by a cell and an operator that are not down."""
        served: NDArray[np.bool_] = self.covered & ~self._down
        return served

    def disturb(self, disturbance: Disturbance) -> None:
        """This is wrong now, and nothing else."""
        self._down = np.array(
            [
                cell in disturbance.cells_down or operator in disturbance.operators_out
                for cell, operator in zip(self.cell, self.operator, strict=True)
            ],
            dtype=bool,
        )
        self._load = np.array([disturbance.loads.get(cell, 0.0) for cell in self.cell])

    def attach(self, rows: NDArray[np.intp], wanted_s: NDArray[np.float64], crowd: NDArray[np.float64]) -> Passage:
        """When meters that want to attach have done so.

        The cell grants so many a second; who fails waits, longer each time up to a cap (random access of 3GPP).

        :param crowd: (m,) how many others of the same cell want to attach at about that time.
        """
        p = self._parameters
        keys = Frames.of(rows, wanted_s, 1, 0).keys(self._keys, Direction.UP)
        passage = Passage.of(len(rows))
        share = np.clip(1.0 - self._load[rows] / p.messages_per_s, LEAST_LEFT, 1.0)
        contending = crowd.astype(np.float64) + 1.0
        window_s = np.full(len(rows), p.attach_wait_first_s)
        at_s = wanted_s.copy()
        waiting = self.in_service[rows]
        for attempt in range(p.attach_tries):
            granted = np.exp(-contending / window_s / (p.attaches_per_s * share))
            through = waiting & (uniform(keys, Purpose.ATTACH, attempt) < granted)
            passage.attempts[waiting] += 1
            passage.arrives_s[through] = at_s[through] + p.attach_s
            if attempt:
                passage.cause[through] = int(Cause.CELL)
            waiting &= ~through
            contending = contending * (1.0 - granted)
            at_s = at_s + window_s * uniform(keys, Purpose.ATTACH_WAIT, attempt)
            window_s = np.minimum(window_s * 2.0, p.attach_wait_most_s)
        passage.cause[~passage.arrives] = int(Cause.CELL)
        return passage

    def up(self, frames: Frames, crowd: NDArray[np.float64] | float = 0.0) -> Passage:
        """To the broker. A meter's frames have to be given in the order in which they are sent.

        :param crowd: (m,) how many others of the same cell send within the same second.
        """
        return self._carry(frames, crowd, Direction.UP, self._parameters.up_bps)

    def down(self, frames: Frames, crowd: NDArray[np.float64] | float = 0.0) -> Passage:
        """To the meters, in the order in which they are sent."""
        return self._carry(frames, crowd, Direction.DOWN, self._parameters.down_bps)

    def _carry(self, frames: Frames, crowd: NDArray[np.float64] | float, direction: Direction, bps: float) -> Passage:
        p = self._parameters
        keys = frames.keys(self._keys, direction)
        rows = frames.rows
        edge = self._edge(rows)
        typical_s = p.latency_easy_s + edge * (p.latency_most_s - p.latency_easy_s)
        delay_s = p.latency_least_s + (typical_s - p.latency_least_s) * uniform(keys, Purpose.CELL_DELAY, 0, 0.0, 1.0)
        delay_s += frames.size_bytes * 8.0 / bps * (1.0 + (SLOWER_AT_EDGE - 1.0) * edge)
        queue_s = uniform(keys, Purpose.CELL_DELAY, 1) * (np.asarray(crowd) + self._load[rows]) / p.messages_per_s
        lost = p.loss_share + edge * (p.loss_share_at_edge - p.loss_share)
        again = retransmissions(keys, Purpose.CELL_LOSS, lost)
        delay_s += queue_s + p.retransmission_s * (2.0**again - 1.0)
        passage = Passage.of(len(frames))
        arrives_s = np.where(self.in_service[rows], frames.sent_s + delay_s, np.inf)
        passage.attempts[:] = 1 + again
        passage.hops[:] = 1
        passage.cause[again > 0] = int(Cause.RADIO)
        passage.cause[queue_s > delay_s / 2] = int(Cause.CELL)
        passage.cause[np.isinf(arrives_s)] = int(Cause.CELL)
        passage.arrives_s[:] = in_order(rows, arrives_s, self._last_s[int(direction)])
        return passage

    def _edge(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """How far from easy coverage (0) to the end of it (1)."""
        p = self._parameters
        span_db = max(p.most_coupling_loss_db - p.easy_coupling_loss_db, 1e-9)
        return np.clip((self.coupling_loss_db[rows] - p.easy_coupling_loss_db) / span_db, 0.0, 1.0)

    def _serving(self, positions_m: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Coupling loss (n,) to the site heard best, and its place on the grid of its operator (n, 2)."""
        p = self._parameters
        # Operators do not share their masts.
        shift = self._operator[:, None] / p.operators
        own = np.floor(positions_m / p.spacing_m - shift + 0.5).astype(np.int64)
        sites = own[:, None, :] + _NEIGHBOURS[None, :, :]
        apart_m = np.hypot(*np.moveaxis((sites + shift[:, :, None]) * p.spacing_m - positions_m[:, None, :], 2, 0))
        loss_db = p.loss_at_1_km_db + 10.0 * p.path_loss_exponent * np.log10(np.maximum(apart_m, 10.0) / 1_000.0)
        each = np.broadcast_to(self._keys[:, None], apart_m.shape)
        counter = (sites[:, :, 0] << 32) ^ (sites[:, :, 1] & 0xFFFFFFFF)
        shadow = normal(each, Purpose.CELL_SHADOW, Purpose.CELL_SHADOW_ANGLE, counter)
        loss_db = loss_db + p.building_loss_db + p.shadowing_db * shadow
        best = loss_db.argmin(axis=1)
        of = np.arange(len(positions_m))
        return loss_db[of, best], sites[of, best]


def operator_name(number: int) -> str:
    """`operator-a` and so on."""
    return f"operator-{chr(ord('a') + number)}"


def cell_name(east: int, north: int) -> str:
    """Of the site so many sites east and north of the origin: `cell-E1N0`."""
    return f"cell-{'E' if east >= 0 else 'W'}{abs(east)}{'N' if north >= 0 else 'S'}{abs(north)}"
