"""What a single open phase makes of the meters behind a device, and what they say of it. Pure.

A device of which one phase is open darkens the customers that have only that one; the others lose it and tell so, or
never had it. So a supply that goes on, which speaks against a device that is open as a whole, speaks for one that is
open in one phase: of which customers, the network model knows (docs/network-model.md, `phases`). One meter may tell
what it likes; where it stands alone with it, it is not heard (`explain`).
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headend.drivers.event_log import PHASES

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

WHOLE = ""
#: A phase alone, beside all of them: where both explain the same, all of them are meant.
ALONE = 0.7
#: Lit, on unknown phases, without a word of a lost one: on one of the two others, or untold.
UNKNOWN = 1.1
#: A meter that should have lost a phase, and can tell, but has not (yet): one in ten.
UNTOLD = 2.3


@dataclass(frozen=True, slots=True, eq=False)
class Phases:
    """Of all n meters. `has` (n, 3): the phases of their usage points, all where that is not `known` (n,).

    `tells` (n,): those that report a lost phase. `lost`: the phase that a meter reported lost, in the losses at hand.
    """

    has: Bools
    known: Bools
    tells: Bools
    lost: Mapping[int, str]

    @classmethod
    def unknown(cls, meters: int) -> "Phases":
        """Of a network model that knows no phases, before anybody tells of one."""
        nothing = np.zeros(meters, dtype=bool)
        return cls(np.ones((meters, len(PHASES)), dtype=bool), nothing, nothing, {})

    @classmethod
    def of(cls, phases: Sequence[frozenset[str] | None], tells: Sequence[bool]) -> "Phases":
        """By meter; None where the network model does not say."""
        has = np.array([[each is None or phase in each for phase in PHASES] for each in phases], dtype=bool)
        known = np.array([each is not None for each in phases], dtype=bool)
        return cls(has.reshape(-1, len(PHASES)), known, np.array(tells, dtype=bool), {})

    def with_lost(self, lost: Mapping[int, str]) -> "Phases":
        return Phases(self.has, self.known, self.tells, lost)

    def suspected(self, dark: Collection[int]) -> list[str]:
        """The phases that two or more lost, or without which somebody would be dark."""
        told = Counter(self.lost.values())
        alone = [each for each in dark if self.known[each] and self.has[each].sum() == 1]
        return sorted(
            {*(phase for phase in told if told[phase] > 1), *(PHASES[int(self.has[each].argmax())] for each in alone)}
        )

    def only(self, phase: str) -> Bools:
        """(n,) whom the loss of this phase leaves dark."""
        return np.asarray(self.known & self.has[:, PHASES.index(phase)] & (self.has.sum(axis=1) == 1))

    def cost(self, phase: str, dark: Collection[int], quiet: Floats, contrary: float) -> Floats:
        """(n,) what each meter costs if the device above it is open in this phase, as far as readings do not speak.

        `dark`: those that reported a loss of supply. `quiet` (n,): what a meter costs that should be dark and did not
        say so. `contrary`: what one costs that contradicts it.
        """
        has, only = self.has[:, PHASES.index(phase)], self.only(phase)
        cost = np.where(self.tells, UNTOLD, 0.0)
        cost[~self.known] = UNKNOWN
        cost[only] = quiet[only]
        cost[self.known & ~has] = 0.0
        for meter, lost in self.lost.items():
            cost[meter] = 0.0 if lost == phase and has[meter] else contrary
        mine = np.array(sorted(dark), dtype=np.intp)
        cost[mine] = np.where(only | ~self.known, 0.0, contrary)[mine]
        return np.asarray(cost)
