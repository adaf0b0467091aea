"""What somebody, or something, does to the network for a time: which of it is in force when. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from meters.radio.cellular import Disturbance
from meters.radio.mesh import Jam

RadioFault = Literal["jam", "cell-down", "operator-outage", "congestion", "firmware-wave"]


class NetworkFault(BaseModel):
    """One fault, in force from `from_s` until before `until_s` [epoch s]; None: until it is told again, with an end.

    It crosses the lab's link as JSON. Its `name` tells it from another one that hits the same.

    `jam`: of the meshes of `collectors`, wholly; or within `radius_m` of `centre_m`, east and north of the origin that
    the fleet shares. `cell-down` and `congestion` are of `cells`, `operator-outage` is of `operators`. A
    `firmware-wave` is for all meters of `collectors`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    fault: RadioFault
    name: str = ""
    from_s: int
    until_s: int | None = None
    collectors: tuple[str, ...] = ()
    centre_m: tuple[float, float] | None = None
    radius_m: Annotated[float, Field(ge=0)] = 0.0
    strength: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Of a jam: the share of transmissions that it spoils."""
    cells: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()
    messages_per_s: Annotated[float, Field(ge=0)] = 0.0
    """Of a congestion: what others send in each cell."""
    image_bytes: Annotated[int, Field(ge=0)] = 0
    """Of a firmware wave: the size of the image."""

    @property
    def but_for_its_end(self) -> NetworkFault:
        """By which it is known when it is told again."""
        return self.model_copy(update={"until_s": None})

    def holds(self, now_s: float) -> bool:
        return self.from_s <= now_s and (self.until_s is None or now_s < self.until_s)


class NetworkFaults:
    """Those that are known so far. More may come."""

    def __init__(self, faults: Iterable[NetworkFault] = ()) -> None:
        self._faults = {fault.but_for_its_end: fault for fault in faults}
        self._in_force_at: tuple[float, list[NetworkFault]] | None = None

    def add(self, fault: NetworkFault) -> None:
        """One more, which may be in force already. One that is known ends as it says now."""
        self._faults[fault.but_for_its_end] = fault
        self._in_force_at = None

    def next_change_s(self, now_s: float) -> float:
        """The first instant after `now_s` at which another set is in force; inf: there is none."""
        instants = (at_s for fault in self._faults.values() for at_s in (fault.from_s, fault.until_s))
        return min((float(at_s) for at_s in instants if at_s is not None and at_s > now_s), default=np.inf)

    def jams(self, collector: str, place_m: NDArray[np.float64], now_s: float) -> list[Jam]:
        """What disturbs the mesh of this collector, which stands at `place_m` (2,)."""
        jams = []
        for fault in self._in_force(now_s, "jam"):
            if collector in fault.collectors:
                jams.append(Jam((float(place_m[0]), float(place_m[1])), np.inf, fault.strength))
            elif fault.centre_m is not None:
                jams.append(Jam(fault.centre_m, fault.radius_m, fault.strength))
        return jams

    def wave(self, collector: str, now_s: float) -> NetworkFault | None:
        """The image that this collector has for its meters: of several the one that came last."""
        waves = [each for each in self._in_force(now_s, "firmware-wave") if collector in each.collectors]
        return max(waves, key=lambda each: each.from_s, default=None)

    def of_cells(self, now_s: float) -> Disturbance:
        """What is wrong with cells and operators."""
        loads: dict[str, float] = defaultdict(float)
        for fault in self._in_force(now_s, "congestion"):
            for cell in fault.cells:
                loads[cell] += fault.messages_per_s
        return Disturbance(
            frozenset(cell for fault in self._in_force(now_s, "cell-down") for cell in fault.cells),
            frozenset(name for fault in self._in_force(now_s, "operator-outage") for name in fault.operators),
            loads,
        )

    def _in_force(self, now_s: float, kind: RadioFault) -> list[NetworkFault]:
        # All meshes of a process ask for the same instant.
        if self._in_force_at is None or self._in_force_at[0] != now_s:
            self._in_force_at = now_s, [each for each in self._faults.values() if each.holds(now_s)]
        return [each for each in self._in_force_at[1] if each.fault == kind]
