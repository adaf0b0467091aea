"""What TCP makes of lost segments: retransmissions, which are delay."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from meters.device.draws import Purpose, uniform

_MOST = 6
"""After more a connection would be given up."""


def retransmissions(keys: NDArray[np.uint64], purpose: Purpose, lost: NDArray[np.float64]) -> NDArray[np.float64]:
    """How often each segment (m,) is sent again, of which this share is lost each time."""
    drawn = np.maximum(uniform(keys, purpose, 0), 1e-300)
    count: NDArray[np.float64] = np.minimum(np.floor(np.log(drawn) / np.log(np.clip(lost, 1e-300, 0.999))), _MOST)
    return count
