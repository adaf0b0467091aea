"""What every usage point takes from the feeder or feeds into it, as the net says, or else drawn by seed.

A load whose `profile` in the net is a published one (`grid.profiles`), as in every SimBench net, follows it as it is,
times the net's own `p_mw` and `q_mvar`, unshifted: the network's time series are then SimBench's, each curve in the
time that its rows are of (`grid.calendar`). All others are drawn: households, some with photovoltaics or a heat pump,
and small businesses, each scaled to its own annual energy and shifted in time, so that 1,500 households do not move in
step. The same seed gives the same day, bit for bit.

The net's static generators follow their published profile; those without one, a drawn curve of the sun where their type
says photovoltaics, and else the constant power that the net states. So does bulk load without a profile.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from grid.calendar import MAX_STEPS, MAX_WEEKS, Calendar, CalendarRows, RowClock
from grid.feeder import Feeder
from grid.named_demand import Curves, published
from grid.phase_assumptions import phase_assumptions
from grid.profiles import HOURS, REACTIVE_RATIO, Profiles, ProfileSet, load_profiles
from grid.world import PHASES

HOUSEHOLD_MEDIAN_KWH = 3200.0
HOUSEHOLD_SIGMA = 0.42
"""Log-normal annual energy with a mean of about 3,500 kWh: a German household."""
HOUSEHOLD_RANGE_KWH = (800.0, 12000.0)
HEAT_PUMP_RANGE_KWH = (3000.0, 6000.0)
PV_RANGE_KWP = (4.0, 10.0)
PV_SHARE = 0.15
HEAT_PUMP_SHARE = 0.10
SINGLE_PHASE_SHARE = phase_assumptions().single_phase_share
BUSINESS_FACTOR = 1.25
"""A load rated this much above the feeder's median one is a business: a household is the usual customer."""

_DOMAIN = 0x64656D64  # keeps this stream apart from other uses of the same seed


@dataclass(frozen=True, slots=True, eq=False)
class _Component:
    """One curve per usage point: `scale_w` is the power at the profile's peak.

    `shift` indexes `CalendarRows.shifted`; the sun's rows are the same for all.
    """

    profiles: ProfileSet
    clock: RowClock
    curve: NDArray[np.intp]
    shift: tuple[NDArray[np.intp], NDArray[np.intp]]
    scale_w: NDArray[np.float64]

    def at(self, rows: CalendarRows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        row = rows.sun if self.clock is RowClock.SUN else rows.shifted[self.clock][self.shift]
        active = self.scale_w * self.profiles.active[row, self.curve]
        reactive = self.scale_w * REACTIVE_RATIO * self.profiles.reactive[row, self.curve]
        return active, reactive


@dataclass(frozen=True, slots=True, eq=False)
class Demand:
    """Demand of the n usage points of a feeder, in its order."""

    connected: NDArray[np.bool_]
    """(n, 3): the phases that the usage point is connected to."""
    business: NDArray[np.bool_]
    pv_kwp: NDArray[np.float64]
    heat_pump: NDArray[np.bool_]
    annual_kwh: NDArray[np.float64]
    """(n,) consumption per profile year, heat pump included, infeed not deducted."""
    _calendar: Calendar
    _components: tuple[_Component, ...]
    _stated: tuple[Curves, ...]
    """Loads with a profile, and generators behind meters: owners are usage points."""
    _bulk: Curves

    def at(self, time_s: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Net (active W, reactive var), each (n,), positive for import. Constant within 15 minutes of UTC."""
        rows = self._calendar.rows_at(time_s)
        parts = [component.at(rows) for component in self._components]
        active, reactive = np.sum([part[0] for part in parts], axis=0), np.sum([part[1] for part in parts], axis=0)
        for curves in self._stated:
            stated = curves.at(rows)
            np.add.at(active, curves.owner, stated[0])
            np.add.at(reactive, curves.owner, stated[1])
        return active, reactive

    @property
    def largest_w(self) -> NDArray[np.float64]:
        """(n,) W that can never be exceeded: the peaks of all that is behind the meter, as if they were of one sign."""
        largest = np.sum([np.abs(component.scale_w) for component in self._components], axis=0)
        for curves in self._stated:
            peaks = np.abs(curves.active).max(axis=0, initial=0.0)
            np.add.at(largest, curves.owner, np.abs(curves.scale_w) * peaks[curves.column])
        return np.asarray(largest)

    def bulk_at(self, time_s: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(active W, reactive var) of what has no meter, in the order of `Feeder.bulk`, positive for consumption."""
        return self._bulk.at(self._calendar.rows_at(time_s))

    @classmethod
    def draw(cls, feeder: Feeder, *, seed: int, profiles: Profiles | None = None) -> Demand:
        """Assign and scale demand by `seed`. When it is taken, the feeder's own calendar says.

        Raises ProfileError when the published profiles are missing.
        """
        profiles = profiles or load_profiles()
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, _DOMAIN])))
        n = len(feeder.usage_points)
        rated_w = feeder.own_loads.active_power_w
        stated = published(feeder.own_loads, feeder.profile_scenario, seed=seed, only_named=True)
        drawn = np.ones(n, dtype=bool)
        drawn[stated.owner] = False
        business = drawn & (rated_w > BUSINESS_FACTOR * np.median(rated_w))

        household_kwh = np.clip(rng.lognormal(np.log(HOUSEHOLD_MEDIAN_KWH), HOUSEHOLD_SIGMA, n), *HOUSEHOLD_RANGE_KWH)
        household = _component(rng, profiles.households, RowClock.WALL, n)
        household = _scaled(household, np.where(drawn & ~business, _peak_w(household, household_kwh), 0.0))
        trade = _component(rng, profiles.businesses, RowClock.STANDARD, n)
        trade = _scaled(trade, np.where(business, rated_w, 0.0))
        heat_pump = drawn & ~business & (rng.random(n) < HEAT_PUMP_SHARE)
        heat_kwh = rng.uniform(*HEAT_PUMP_RANGE_KWH, n)
        heat = _component(rng, profiles.heat_pumps, RowClock.WALL, n)
        heat = _scaled(heat, np.where(heat_pump, _peak_w(heat, heat_kwh), 0.0))
        has_pv = drawn & ~business & (rng.random(n) < PV_SHARE)
        pv_kwp = np.where(has_pv, rng.uniform(*PV_RANGE_KWP, n), 0.0)
        # One sky over one feeder: infeed is never shifted in time.
        sun = _component(rng, profiles.photovoltaics, RowClock.SUN, n)
        sun = _scaled(sun, -1e3 * pv_kwp)

        behind = published(feeder.behind_meter, feeder.profile_scenario, seed=seed)
        np.add.at(pv_kwp, behind.owner, -1e-3 * behind.scale_w * behind.sun)
        has_pv = pv_kwp > 0.0
        business[stated.owner] = ~stated.household
        heat_pump[stated.owner] = stated.heat_pump

        # Units above 4.6 kVA must be connected to three phases (VDE-AR-N 4105); businesses always are.
        single = ~business & ~heat_pump & ~has_pv & (rng.random(n) < SINGLE_PHASE_SHARE)
        phase = rng.integers(PHASES, size=n)
        connected = ~single[:, np.newaxis] | (np.arange(PHASES) == phase[:, np.newaxis])
        consumption = (household, trade, heat)
        annual_kwh = sum(c.scale_w * c.profiles.mean[c.curve] for c in consumption) * HOURS / 1e3
        annual_kwh = np.asarray(annual_kwh)
        annual_kwh[stated.owner] = stated.scale_w * stated.mean * HOURS / 1e3
        return cls(
            connected=connected,
            business=business,
            pv_kwp=pv_kwp,
            heat_pump=heat_pump,
            annual_kwh=annual_kwh,
            _calendar=feeder.calendar,
            _components=(*consumption, sun),
            _stated=(stated, behind),
            _bulk=published(feeder.bulk, feeder.profile_scenario, seed=seed),
        )


def _component(rng: np.random.Generator, profiles: ProfileSet, clock: RowClock, n: int) -> _Component:
    curve = rng.integers(len(profiles.names), size=n)
    shift = (np.zeros(n, dtype=np.intp), np.zeros(n, dtype=np.intp))
    if clock is not RowClock.SUN:
        shift = (rng.integers(2 * MAX_WEEKS + 1, size=n), rng.integers(2 * MAX_STEPS + 1, size=n))
    return _Component(profiles, clock, curve, shift, np.zeros(n))


def _peak_w(component: _Component, annual_kwh: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(annual_kwh * 1e3 / (HOURS * component.profiles.mean[component.curve]))


def _scaled(component: _Component, scale_w: NDArray[np.float64]) -> _Component:
    return replace(component, scale_w=scale_w)
