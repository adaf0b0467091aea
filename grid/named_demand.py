"""Demand and infeed as a net states them: its own powers along the published curves that it names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grid.calendar import ROWS, CalendarRows
from grid.elements import Elements, ProfileKind, ProfileName
from grid.profiles import HEAT_PUMPS, PHOTOVOLTAICS, known_profiles, named_profiles, row_clock

_DOMAIN = 0x73756E  # keeps this stream apart from other uses of the same seed

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """k elements and the curve that each follows; those without one keep their power."""

    owner: NDArray[np.intp]
    """(k,) as in `Elements`."""
    profile: tuple[ProfileName, ...]
    scale_w: Floats
    """(k,) power where the curve is 1."""
    scale_var: Floats
    column: NDArray[np.intp]
    """(k,) the curve: a column of the next two."""
    active: Floats
    """(rows, curves)"""
    reactive: Floats
    clock: NDArray[np.intp]
    """(k,) `RowClock` of the curve."""

    def at(self, rows: CalendarRows) -> tuple[Floats, Floats]:
        """(active W, reactive var), each (k,), in these rows of the profile year."""
        row = rows.unshifted[self.clock]
        return self.scale_w * self.active[row, self.column], self.scale_var * self.reactive[row, self.column]

    @property
    def mean(self) -> Floats:
        """(k,) mean of the active curves over the year."""
        return np.asarray(self.active.mean(axis=0)[self.column])

    @property
    def sun(self) -> NDArray[np.bool_]:
        return np.array([profile.sun for profile in self.profile], dtype=bool)

    @property
    def household(self) -> NDArray[np.bool_]:
        """(k,) H0 is the standard load profile of households; heat pumps are in houses."""
        homes = np.array([profile.name.startswith("H0-") for profile in self.profile], dtype=bool)
        return np.asarray(self.heat_pump | homes)

    @property
    def heat_pump(self) -> NDArray[np.bool_]:
        return np.array([profile.name in HEAT_PUMPS for profile in self.profile], dtype=bool)


def published(elements: Elements, scenario: int, *, seed: int, only_named: bool = False) -> Curves:
    """The curves of the elements. What feeds in from the sun without naming a curve gets one by `seed`.

    :param only_named: leave out what follows no published curve.
    Raises ProfileError when the published profiles are missing.
    """
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, _DOMAIN])))
    kinds: set[ProfileKind] = {profile.kind for profile in elements.profile}
    known = {kind: known_profiles(kind, scenario=scenario) for kind in sorted(kinds)}
    names: list[tuple[ProfileKind, str]] = []
    for profile in elements.profile:
        if profile.name in known[profile.kind]:
            names.append((profile.kind, profile.name))
        else:
            names.append((profile.kind, str(rng.choice(PHOTOVOLTAICS)) if profile.sun else ""))
    kept = np.array([bool(name) or not only_named for _, name in names], dtype=bool)
    wanted = {kind: sorted({name for of, name in names if of == kind and name}) for kind in known}
    sets = {kind: named_profiles(kind, wanted[kind], scenario=scenario) for kind in wanted}
    number = {key: at for at, key in enumerate((kind, name) for kind in wanted for name in wanted[kind])}
    # What follows no curve holds still: a last column of ones.
    still = np.ones((ROWS, 1))
    column = np.array([number.get(key, len(number)) for key in names], dtype=np.intp)
    return Curves(
        owner=elements.owner[kept],
        profile=tuple(profile for profile, keep in zip(elements.profile, kept, strict=True) if keep),
        scale_w=elements.active_power_w[kept],
        scale_var=elements.reactive_power_var[kept],
        column=column[kept],
        active=np.hstack([*(curves.active for curves in sets.values()), still]),
        reactive=np.hstack([*(curves.reactive for curves in sets.values()), still]),
        clock=np.array([row_clock(*name) for name in names], dtype=np.intp)[kept],
    )
