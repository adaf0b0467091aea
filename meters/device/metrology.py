"""The measuring element: what a shard's meters count and show of the powers that really flow.

Each phase is measured as `(1 + e) exp(jd) (P + jQ)`. The error `e` is the meter's own at its reference current and
grows below a tenth of that. `d` is the phase displacement of its current sensor, which makes the error depend on the
power factor. Below its starting current a phase counts nothing. All of it stays within the limits of the class
(`meters/device/classes.py`), which `Rates.allowed_per_s` carries along. Power is constant between two frames, so errors
are too: a register advances at a constant rate, whose sum over the frames is exact, causal, and never taken back.

A register counts whole steps, so an interval's energy is the difference of two *quantised* register readings: intervals
sum to the register difference exactly. Active totals are the arithmetic sum over the phases, apparent energy that of
their apparent powers (arithmetic). Total reactive energy is counted in the quadrant of the sums over the phases (vector
method), that of a phase by the sign of its reactive power.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grid.world import WorldFrame, by_quadrant
from meters.device.classes import MOST_RATIO, active_class, reactive_class
from meters.device.draws import Purpose, uniform
from meters.device.facts import MeterFacts
from meters.device.physics import Physics
from meters.device.quantities import CHANNELS, LIMITS, PHASES, Place

Float = NDArray[np.float64]

_INSTALLED_WH = (1_000_000, 80_000_000)
_BELOW_ROLL_OVER_WH = (200, 3_000)
"""Less than a household consumes in a day."""
_REACTIVE_SHARE = (0.05, 0.35)
"""Of what a meter has counted in its life, the reactive energy to the active, in the first quadrant."""
_COMMON_SHARE = 0.6
"""Of the error at reference, what all phases have in common: the meter's voltage reference."""


@dataclass(frozen=True, slots=True, eq=False)
class Rates:
    """Per second: what registers (n, CHANNELS) advance by, and by how much (n, LIMITS) the class lets them be wrong."""

    counted_per_s: Float
    allowed_per_s: Float


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What the meters show of each phase, (n, 3), each of it with its meter's error."""

    voltage_v: Float
    current_a: Float
    active_power_w: Float
    reactive_power_var: Float


@dataclass(frozen=True, slots=True, eq=False)
class _Load:
    """Of each phase (n, 3): what its element makes of one unit of energy, 0 below the starting current; and limits."""

    current_a: Float
    active_gain: Float
    reactive_gain: Float
    load_error: Float
    active_limit: Float
    reactive_limit: Float


class Metrology:
    """The elements and registers of all meters of a shard."""

    def __init__(
        self,
        keys: NDArray[np.uint64],
        facts: MeterFacts,
        *,
        step_wh: float | None = None,
        rated_a: Float | None = None,
        connected: NDArray[np.bool_] | None = None,
    ) -> None:
        """`step_wh`: what it counts in, by default `register_step_wh`. `rated_a` (n,): the rated current, at a meter's
        terminals, of the current transformers that it is behind; NaN without any, as by default. `connected` (n, 3):
        to which phases, by default to all; of any other nothing was ever counted."""
        self._step_wh = facts.register_step_wh if step_wh is None else step_wh
        self._roll_over_wh = facts.register_roll_over_wh
        rated = np.full((len(keys), 1), np.nan) if rated_a is None else rated_a[:, np.newaxis]
        behind = ~np.isnan(rated)
        self._reference_a = np.where(behind, rated, facts.reference_current_a)
        self._active = active_class(facts.accuracy_class_percent, behind)
        self._reactive = reactive_class(facts.reactive_class_percent, behind)
        self._draw_elements(keys, facts)
        self._draw_registers(keys, facts, np.ones((len(keys), len(PHASES)), bool) if connected is None else connected)

    def _draw_elements(self, keys: NDArray[np.uint64], facts: MeterFacts) -> None:
        """The errors (n, 3) of each phase, within the limits of the class at every load."""

        def spread(purpose: Purpose, limit: float) -> Float:
            return np.column_stack([uniform(keys, purpose, phase, -limit, limit) for phase in range(len(PHASES))])

        share, active = facts.class_error_share, self._active
        at_reference = share * active.limits.at_one / 100.0
        common = uniform(keys, Purpose.CLASS_ERROR, 0, -at_reference, at_reference)[:, np.newaxis]
        self._error = _COMMON_SHARE * common + spread(Purpose.PHASE_ERROR, (1.0 - _COMMON_SHARE) * at_reference)
        self._low_error = spread(Purpose.LOW_LOAD_ERROR, share * (active.limits.low - active.limits.at_one) / 100.0)
        most_percent = min(each.displacement(share * active.limits.at_one) for each in (active, self._reactive))
        self._displacement = spread(Purpose.DISPLACEMENT, most_percent / 100.0)
        # Voltage and current together make the error of the power.
        own = max(min(facts.voltage_error_percent, facts.current_error_percent) / 100.0 - at_reference / 2.0, 0.0)
        voltage = self._error / 2.0 + spread(Purpose.VOLTAGE_ERROR, own)
        self._voltage_gain = 1.0 + voltage
        self._current_gain = (1.0 + self._error) / self._voltage_gain

    def _draw_registers(self, keys: NDArray[np.uint64], facts: MeterFacts, connected: NDArray[np.bool_]) -> None:
        """What each register has counted when the run begins: in its life so far a meter's phases made its totals."""
        installed_wh = uniform(keys, Purpose.INITIAL_REGISTER, 0, *_INSTALLED_WH)
        brink_wh = self._roll_over_wh - uniform(keys, Purpose.INITIAL_REGISTER, 1, *_BELOW_ROLL_OVER_WH)
        on_the_brink = uniform(keys, Purpose.NEAR_ROLL_OVER, 0) < facts.near_roll_over_share
        import_wh = np.where(on_the_brink, brink_wh, installed_wh) % self._roll_over_wh
        shares = np.column_stack(
            [uniform(keys, Purpose.INITIAL_REGISTER, 2 + each, 0.2, 1.0) for each in range(len(PHASES))]
        )
        shares *= connected
        shares /= shares.sum(axis=1, keepdims=True)
        reactive_in = uniform(keys, Purpose.INITIAL_REGISTER, 5, *_REACTIVE_SHARE) * import_wh
        reactive_out = uniform(keys, Purpose.INITIAL_REGISTER, 6, 0.0, _REACTIVE_SHARE[0]) * import_wh
        initial = np.zeros((len(keys), CHANNELS))
        initial[:, Place.IMPORT], initial[:, Place.IMPORT_PHASES] = import_wh, shares * import_wh[:, np.newaxis]
        # With active energy imported, of the first quadrant and the fourth.
        nothing = np.zeros(len(keys))
        initial[:, Place.QUADRANTS] = np.column_stack([reactive_in, nothing, nothing, reactive_out])
        initial[:, Place.REACTIVE_IMPORT_PHASES] = shares * reactive_in[:, np.newaxis]
        initial[:, Place.REACTIVE_EXPORT_PHASES] = shares * reactive_out[:, np.newaxis]
        initial[:, Place.APPARENT] = np.hypot(import_wh, reactive_in - reactive_out)
        steps = np.floor(initial / self._step_wh)
        # Where between two steps each register stands at the start.
        remainder = np.column_stack([uniform(keys, Purpose.REGISTER_REMAINDER, each) for each in range(CHANNELS)])
        self._initial: Float = (steps + remainder) * self._step_wh

    @property
    def initial(self) -> Float:
        """Registers (n, CHANNELS) before any energy of the run flowed, not cut to whole steps."""
        return self._initial

    def rates(self, physics: Physics) -> Rates:
        """What holds under `physics`, of all meters."""
        load = self._load(physics.load)
        imported, exported = physics.import_wh_per_s * load.active_gain, physics.export_wh_per_s * load.active_gain
        quadrants = physics.reactive_varh_per_s * load.reactive_gain
        reactive_in, reactive_out = quadrants[0] + quadrants[1], quadrants[2] + quadrants[3]
        active = imported - exported
        counted = np.empty((len(imported), CHANNELS))
        counted[:, Place.IMPORT], counted[:, Place.EXPORT] = imported.sum(axis=1), exported.sum(axis=1)
        counted[:, Place.IMPORT_PHASES], counted[:, Place.EXPORT_PHASES] = imported, exported
        counted[:, Place.REACTIVE_IMPORT_PHASES], counted[:, Place.REACTIVE_EXPORT_PHASES] = reactive_in, reactive_out
        counted[:, Place.APPARENT] = np.hypot(active, reactive_in - reactive_out).sum(axis=1)
        allowed = np.empty((len(imported), LIMITS))
        allowed[:, Place.LIMITED_IMPORT] = (physics.import_wh_per_s * load.active_limit).sum(axis=1)
        allowed[:, Place.LIMITED_EXPORT] = (physics.export_wh_per_s * load.active_limit).sum(axis=1)
        totals, totals_allowed = _by_sums(physics, (reactive_in - reactive_out).sum(axis=1), load.reactive_limit)
        if not physics.steady:
            _unseen(physics, quadrants, load.reactive_limit, totals, totals_allowed)
        counted[:, Place.QUADRANTS], allowed[:, Place.LIMITED_QUADRANTS] = totals, totals_allowed
        return Rates(counted, allowed)

    def measured(self, frame: WorldFrame) -> Measured:
        """What all meters show of each phase while `frame` holds."""
        load = self._load(frame)
        return Measured(
            frame.voltage_v * self._voltage_gain,
            load.current_a
            * self._current_gain
            * (1.0 + load.load_error)
            * (load.active_gain + load.reactive_gain > 0.0),
            # Export that is not counted is no power, and not -0.0: its sign is that of a power factor.
            frame.active_power_w * load.active_gain + 0.0,
            frame.reactive_power_var * load.reactive_gain + 0.0,
        )

    def quantised(self, counted: Float) -> NDArray[np.int64]:
        """Registers of any shape in whole Wh, varh and VAh, cut to whole steps, before the roll-over."""
        steps = np.floor(counted / self._step_wh)
        whole: NDArray[np.int64] = (steps * self._step_wh).astype(np.int64)
        return whole

    def displayed(self, registers: NDArray[np.int64]) -> NDArray[np.int64]:
        """What a display of limited digits shows: the register after its roll-over."""
        shown: NDArray[np.int64] = registers % self._roll_over_wh
        return shown

    def _load(self, frame: WorldFrame) -> _Load:
        power_w, reactive_var = frame.active_power_w, frame.reactive_power_var
        live = frame.voltage_v > 0.0
        volts = np.where(live, frame.voltage_v, 1.0)
        reference_va = volts * self._reference_a
        current_a = np.where(live, np.hypot(power_w, reactive_var) / volts, 0.0)
        load = current_a / self._reference_a
        # How much of each power there is of the other, with its sign.
        tangent = _ratio(reactive_var, power_w)
        cotangent = _ratio(power_w, reactive_var)
        load_error = self._low_error * self._active.load_share(load)
        error = 1.0 + self._error + load_error
        starts = np.abs(power_w) >= self._active.bands.starting * reference_va
        reactive_starts = np.abs(reactive_var) >= self._reactive.bands.starting * reference_va
        return _Load(
            current_a,
            np.where(starts, error - self._displacement * tangent, 0.0),
            np.where(reactive_starts, error + self._displacement * cotangent, 0.0),
            load_error,
            np.where(starts, self._active.limit_percent(load, tangent) / 100.0, 1.0),
            np.where(reactive_starts, self._reactive.limit_percent(load, cotangent) / 100.0, 1.0),
        )


def _by_sums(physics: Physics, reactive: Float, limit: Float) -> tuple[Float, Float]:
    """What total reactive registers (n, 4) advance by, and may be wrong by, of a net `reactive` (n,).

    The sums over the phases decide about the quadrant; an element whose error turned the sign of a sum counts nothing.
    """
    true_w, true_var = physics.frame.active_power_w.sum(axis=1), physics.frame.reactive_power_var.sum(axis=1)
    sign = np.where(true_var >= 0.0, 1.0, -1.0)
    error = (physics.reactive_varh_per_s.sum(axis=0) * limit).sum(axis=1)
    counted: Float = by_quadrant(true_w, np.maximum(reactive * sign, 0.0) * sign).T
    allowed: Float = by_quadrant(true_w, error * sign).T
    return counted, allowed


def _unseen(physics: Physics, counted: Float, limit: Float, totals: Float, allowed: Float) -> None:
    """Change `totals` (n, 4) that are of averages over frames that nobody saw (Physics.bridge), in place.

    One phase alone is its own sum: what it `counted` (4, n, 3) are the totals. Where several phases had energy, and
    some of it both ways, nobody knows how much of it met: any share of it may be in any quadrant.
    """
    per_s = physics.reactive_varh_per_s
    active = physics.import_wh_per_s + physics.export_wh_per_s
    alone = (active + per_s.sum(axis=0) > 0.0).sum(axis=1) <= 1
    totals[alone] = counted.sum(axis=2).T[alone]
    allowed[alone] = (per_s * limit).sum(axis=2).T[alone]
    both_ways = (physics.import_wh_per_s > 0.0).any(axis=1) & (physics.export_wh_per_s > 0.0).any(axis=1)
    both_ways |= (per_s[:2] > 0.0).any(axis=(0, 2)) & (per_s[2:] > 0.0).any(axis=(0, 2))
    mixed = ~alone & both_ways
    allowed[mixed] += per_s.sum(axis=(0, 2))[mixed, np.newaxis]


def _ratio(other: Float, own: Float) -> Float:
    """`other` to `own`, within ±MOST_RATIO; 0 where there is nothing."""
    most = MOST_RATIO * np.abs(own)
    ratio: Float = np.divide(np.clip(other, -most, most), own, out=np.zeros_like(own), where=own != 0.0)
    return ratio


def power_factor(active_w: Float, reactive_var: Float) -> Float:
    """Of any shape: active to apparent power, signed as the active power; 1 without any."""
    apparent_va = np.hypot(active_w, reactive_var)
    factor: Float = np.divide(active_w, apparent_va, out=np.ones_like(apparent_va), where=apparent_va > 0.0)
    return factor
