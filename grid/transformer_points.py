"""Where transformers are metered: at their low-voltage terminals. No customer is there.

In a physical frame they come behind the usage points, in the order of `TransformerPoints.points`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grid.feeder import Device, Feeder
from grid.geo import Position
from grid.geography import device_positions
from grid.network_model import device_name
from grid.voltage_levels import LOW_VOLTAGE_KV


@dataclass(frozen=True, slots=True)
class TransformerPoint:
    """`id`: the transformer's in the network model, `transformer:T3`."""

    id: str
    transformer: str
    rated_va: float
    position: Position | None


@dataclass(frozen=True, eq=False)
class TransformerPoints:
    """The transformers of a feeder that have a point to meter them at, k in all."""

    points: tuple[TransformerPoint, ...]
    rows: NDArray[np.intp]
    """(k,) in the order of `Feeder.transformers`."""
    nominal_voltage_v: NDArray[np.float64]
    """(k,) line to neutral, on the low-voltage side."""

    @classmethod
    def of(cls, feeder: Feeder) -> TransformerPoints:
        """Those that feed low voltage, and customers whom nothing else would feed: the others have no balance."""
        trafo, kv = feeder.net.trafo, feeder.net.bus["vn_kv"]
        positions = device_positions(feeder)
        points, rows, nominal_v = [], [], []
        for row, (name, index) in enumerate(feeder.transformers.items()):
            device, low_kv = Device("transformer", name), float(kv.at[trafo.at[index, "lv_bus"]])
            if low_kv <= LOW_VOLTAGE_KV and len(feeder.darkened_by(device)):
                rated_va = float(trafo.at[index, "sn_mva"] * trafo.at[index, "parallel"]) * 1e6
                points.append(TransformerPoint(device_name(device), name, rated_va, positions.get(device)))
                rows.append(row)
                nominal_v.append(low_kv * 1e3 / np.sqrt(3.0))
        return cls(tuple(points), np.array(rows, dtype=np.intp), np.array(nominal_v))
