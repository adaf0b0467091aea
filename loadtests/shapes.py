"""How many of its users a load test has at each moment. Pure; seconds since the start.

A level is a share of the users at the peak, from 0 to 1. `incidents` are what happens to the users beside that.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Storm:
    """All meters lose their supply at `at_s` and say so within `gather_s`; they are dark for `dark_s`."""

    at_s: float
    gather_s: float
    dark_s: float


@dataclass(frozen=True, slots=True)
class Wave:
    """From `at_s` on, each meter sends `depth` old intervals within `within_s`, beside the present ones."""

    at_s: float
    within_s: float
    depth: int


@dataclass(frozen=True, slots=True)
class Shape:
    """`corners`: (seconds, level), the first at 0; between two the level is linear. It ends with the last."""

    name: str
    corners: tuple[tuple[float, float], ...]
    storm: Storm | None = None
    wave: Wave | None = None

    @property
    def duration_s(self) -> float:
        return self.corners[-1][0]

    def level(self, at_s: float) -> float | None:
        """None once it is over."""
        if at_s >= self.duration_s:
            return None
        for (from_s, low), (to_s, high) in pairwise(self.corners):
            if at_s < to_s:
                return low + (high - low) * max(0.0, at_s - from_s) / (to_s - from_s)
        raise AssertionError("the last corner ends the shape")


def faults_of(shape: Shape) -> list[str]:
    """Why this shape cannot be run, as complete sentences; empty if it can."""
    faults = []
    times = [at_s for at_s, _ in shape.corners]
    if len(shape.corners) < 2 or times[0] != 0:
        faults.append(f"the shape {shape.name} must begin at 0 s and have an end")
    if any(later <= earlier for earlier, later in pairwise(times)):
        faults.append(f"the corners of the shape {shape.name} must be in the order of time")
    if not all(0 <= level <= 1 for _, level in shape.corners):
        faults.append(f"the levels of the shape {shape.name} must be from 0 to 1, which is the peak")
    if not any(level > 0 for _, level in shape.corners):
        faults.append(f"the shape {shape.name} has no users at any time")
    end_s = times[-1] if times else 0.0
    storm, wave = shape.storm, shape.wave
    if storm is not None and storm.at_s + storm.dark_s + storm.gather_s > end_s:
        faults.append(f"the storm of the shape {shape.name} is not over when the shape ends, at {end_s:g} s")
    if storm is not None and storm.gather_s > storm.dark_s:
        faults.append(f"in the shape {shape.name} supply comes back before the last gasps are sent")
    if wave is not None and wave.at_s + wave.within_s > end_s:
        faults.append(f"the wave of the shape {shape.name} is not over when the shape ends, at {end_s:g} s")
    return faults
