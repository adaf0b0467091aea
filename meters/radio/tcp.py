"""What TCP makes of lost segments: retransmissions, which are delay; and nothing overtakes anything."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meters.device.draws import Purpose, uniform

MOST_RETRANSMISSIONS = 6
"""After more a connection would be given up. An assumption of amilab's."""


def retransmissions(keys: NDArray[np.uint64], purpose: Purpose, lost: NDArray[np.float64]) -> NDArray[np.float64]:
    """How often each segment (m,) is sent again, of which this share is lost each time."""
    drawn = np.maximum(uniform(keys, purpose, 0), 1e-300)
    count: NDArray[np.float64] = np.minimum(
        np.floor(np.log(drawn) / np.log(np.clip(lost, 1e-300, 0.999))), MOST_RETRANSMISSIONS
    )
    return count


def in_order(rows: NDArray[np.intp], ready_s: NDArray[np.float64], last_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Instants (m,) at which segments arrive that would at `ready_s`, each behind those before it of the same row.

    `last_s` (n,) are the last arrivals of each row, which become those of these. What never arrives (inf) holds up
    nothing.
    """
    arrives_s = ready_s.copy()
    if len(np.unique(rows)) == len(rows):
        arrives_s = np.maximum(ready_s, last_s[rows])
        arrived = np.isfinite(ready_s)
        last_s[rows[arrived]] = arrives_s[arrived]
        return arrives_s
    order = np.argsort(rows, kind="stable")
    order = order[np.isfinite(ready_s[order])]
    starts = np.flatnonzero(np.diff(rows[order], prepend=-1))
    for first, end in zip(starts.tolist(), np.append(starts[1:], len(order)).tolist(), strict=True):
        own = order[first:end]
        row = rows[own[0]]
        arrives_s[own] = np.maximum(np.maximum.accumulate(ready_s[own]), last_s[row])
        last_s[row] = arrives_s[own[-1]]
    return arrives_s
