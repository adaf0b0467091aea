"""The shard's view of the physical frame: only its own usage points, and energies at any instant up to now."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from grid.world import SECONDS_PER_HOUR, WorldFrame, by_quadrant
from meters.device.state import Rows
from meters.errors import FleetError

_ENERGY_TOLERANCE_WH = 0.01
"""Far below a register step; frames sum their energies in another order than we do."""
_SIGNS = np.array([1.0, 1.0, -1.0, -1.0])
"""Of the reactive power in the four quadrants."""


@dataclass(frozen=True, slots=True, eq=False)
class Physics:
    """A frame cut down to the shard's meters, in their order, and the energy rates that hold from it on.

    Those of import and export are (n, 3), those of the reactive quadrants (4, n, 3). `load` has the powers that the
    meters' errors depend on. `steady`: they are those of the rates; else these are averages over what nobody saw.
    """

    frame: WorldFrame
    import_wh_per_s: NDArray[np.float64]
    export_wh_per_s: NDArray[np.float64]
    reactive_varh_per_s: NDArray[np.float64]
    load: WorldFrame
    steady: bool = True

    @classmethod
    def of(cls, frame: WorldFrame) -> Physics:
        """Of a frame that is cut down already: energies run on with the frame's powers."""
        power_w = frame.active_power_w
        return cls(
            frame,
            np.maximum(power_w, 0.0) / SECONDS_PER_HOUR,
            np.maximum(-power_w, 0.0) / SECONDS_PER_HOUR,
            by_quadrant(power_w, frame.reactive_power_var) / SECONDS_PER_HOUR,
            load=frame,
        )

    def energy_at(self, rows: Rows, true_s: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Cumulative (import, export) in Wh of `rows`, each (m, 3), at the true instants (m,)."""
        elapsed_s = (true_s - self.frame.time_s)[:, np.newaxis]
        return (
            self.frame.import_wh[rows] + self.import_wh_per_s[rows] * elapsed_s,
            self.frame.export_wh[rows] + self.export_wh_per_s[rows] * elapsed_s,
        )

    def reactive_at(self, rows: Rows, true_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Cumulative reactive energy in varh of `rows`, (4, m, 3), at the true instants (m,)."""
        elapsed_s = (true_s - self.frame.time_s)[:, np.newaxis]
        varh: NDArray[np.float64] = self.frame.reactive_varh[:, rows] + self.reactive_varh_per_s[:, rows] * elapsed_s
        return varh

    def bridge(self, following: WorldFrame, now_s: int) -> Physics | None:
        """What holds from `now_s` until `following` if frames between this one and that were missed; else None.

        Then (the process was dead) what flowed since `now_s` is known only as a sum. It is spread evenly, so the sum
        stays exact. A meter counts as supplied all along if it was so at either end, or if energy flowed.

        Raises FleetError if the energies of `following` are less than what has flowed already.
        """
        missed = following.sequence > self.frame.sequence + 1
        at_s = now_s if missed else following.time_s
        everybody, at = np.arange(len(self.frame)), np.full(len(self.frame), float(at_s))
        import_wh, export_wh = self.energy_at(everybody, at)
        reactive_varh = self.reactive_at(everybody, at)
        import_gap_wh, export_gap_wh = following.import_wh - import_wh, following.export_wh - export_wh
        if min(import_gap_wh.min(initial=0.0), export_gap_wh.min(initial=0.0)) < -_ENERGY_TOLERANCE_WH:
            raise FleetError(
                f"frame {following.sequence} at {following.time_s} s has less energy than what had flowed after frame "
                f"{self.frame.sequence}: the energies of a run are cumulative, and after a restart of a fleet process "
                "its first grant must carry the current frame"
            )
        length_s = following.time_s - at_s
        if length_s <= 0:
            return None
        import_wh_per_s, export_wh_per_s = (np.maximum(gap, 0.0) / length_s for gap in (import_gap_wh, export_gap_wh))
        flowed = import_gap_wh + export_gap_wh > _ENERGY_TOLERANCE_WH
        lit = self.frame.phase_energised
        reactive_varh_per_s = np.maximum(following.reactive_varh - reactive_varh, 0.0) / length_s
        frame = WorldFrame(
            sequence=self.frame.sequence,
            time_s=at_s,
            phase_energised=lit | following.phase_energised | flowed,
            import_wh=import_wh,
            export_wh=export_wh,
            reactive_varh=reactive_varh,
            active_power_w=(import_wh_per_s - export_wh_per_s) * SECONDS_PER_HOUR,
            reactive_power_var=np.tensordot(_SIGNS, reactive_varh_per_s, axes=1) * SECONDS_PER_HOUR,
            voltage_v=np.where(lit, self.frame.voltage_v, following.voltage_v),
            voltage_angle_rad=np.where(lit, self.frame.voltage_angle_rad, following.voltage_angle_rad),
            breaker_closed=following.breaker_closed,
        )
        return Physics(
            frame,
            import_wh_per_s,
            export_wh_per_s,
            reactive_varh_per_s,
            load=_likeliest(frame, self.frame, following),
            steady=False,
        )


def _likeliest(averages: WorldFrame, *seen: WorldFrame) -> WorldFrame:
    """The powers at either end of a gap, where there were any: those in it were rather like these than like a mean."""
    likeliest = averages
    for frame in reversed(seen):
        flowing = (frame.active_power_w != 0.0) | (frame.reactive_power_var != 0.0)
        likeliest = replace(
            likeliest,
            active_power_w=np.where(flowing, frame.active_power_w, likeliest.active_power_w),
            reactive_power_var=np.where(flowing, frame.reactive_power_var, likeliest.reactive_power_var),
            voltage_v=np.where(flowing, frame.voltage_v, likeliest.voltage_v),
        )
    return likeliest


def secondary(frame: WorldFrame, current_ratio: NDArray[np.float64], voltage_ratio: NDArray[np.float64]) -> WorldFrame:
    """What reaches the terminals of meters behind instrument transformers of these ratios, each (n,); 1 for none."""
    current, voltage = current_ratio[:, np.newaxis], voltage_ratio[:, np.newaxis]
    power = current * voltage
    if (power == 1.0).all() and (voltage == 1.0).all():
        return frame
    return replace(
        frame,
        import_wh=frame.import_wh / power,
        export_wh=frame.export_wh / power,
        reactive_varh=frame.reactive_varh / power,
        active_power_w=frame.active_power_w / power,
        reactive_power_var=frame.reactive_power_var / power,
        voltage_v=frame.voltage_v / voltage,
    )


def cut(frame: WorldFrame, world_rows: Rows) -> WorldFrame:
    """The frame of the usage points in `world_rows` alone. Raises FleetError if the frame has too few."""
    if len(world_rows) and world_rows.max() >= len(frame):
        raise FleetError(f"a meter sits at row {world_rows.max()} of a physical frame with {len(frame)} usage points")
    return WorldFrame(
        sequence=frame.sequence,
        time_s=frame.time_s,
        phase_energised=frame.phase_energised[world_rows],
        import_wh=frame.import_wh[world_rows],
        export_wh=frame.export_wh[world_rows],
        reactive_varh=frame.reactive_varh[:, world_rows],
        active_power_w=frame.active_power_w[world_rows],
        reactive_power_var=frame.reactive_power_var[world_rows],
        voltage_v=frame.voltage_v[world_rows],
        voltage_angle_rad=frame.voltage_angle_rad[world_rows],
        breaker_closed=frame.breaker_closed[world_rows],
    )
