"""What a meter can honestly say of an interval. Pure: what is known of the meter and the instant in, a reason out.

A reading that fails is kept beside the others (table implausible_reading), counts in no sum and settles nothing.
"""

from dataclasses import dataclass

from headend.drivers import Reading, Registers
from headend.drivers.records import ABSENT, PHASES, REGISTER_CHANNELS, integers, measures

YEAR_2000_S = 946_684_800
#: Thirteen months, more than load profiles reach back: one meter must not fill the store with decades.
MOST_AGE_S = 400 * 86_400
#: IEC 60449, band II: nothing on a low-voltage network is above.
MAX_VOLTAGE_V = 1_000.0
NOMINAL_V = 230.0
# What a column of four bytes holds: of the primary, in W, var, Wh and varh.
_COLUMN = 2**31 - 1
# Fuses let more than their rating pass for a while, and networks run above their nominal voltage.
_MARGIN = 1.5
# A clock that is put right makes an interval a little longer than it says.
_SLACK_S = 5.0
# Two of the coarsest register steps (float32 kWh), one at each end.
_SLACK_WH = 125.0

_registers_of = integers("import_register_wh", "reactive_q4_register_varh")
_energies_of = integers("import_wh", "reactive_q4_varh")
_powers_of = integers("import_power_w", "reactive_power_l3_var")
_energies_and_powers_of = integers("import_wh", "reactive_power_l3_var")
_net_powers_of = integers("active_power_l1_w", "reactive_power_l3_var")
_voltages_of = measures("voltage_l1_v", "voltage_l3_v")
_currents_of = measures("current_l1_a", "current_l3_a")
_NET_POWERS = [name for name in REGISTER_CHANNELS if "_power_" in name]
_CURRENTS = [name for name in REGISTER_CHANNELS if name.startswith("current_")]


def most_wh(length_s: float, max_power_w: float) -> float:
    """The most energy that a meter of this rating can have counted in `length_s`, with a margin of one half."""
    return (length_s + _SLACK_S) / 3600.0 * max_power_w * _MARGIN + _SLACK_WH


def can_have_passed(energy_wh: float, length_s: float, max_power_w: float) -> bool:
    """Whether so much energy, in either direction, can have passed a meter of this rating in `length_s`."""
    return 0 <= energy_wh <= most_wh(length_s, max_power_w)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the intervals of one meter are measured by: its capture period, its rating, the range of its registers."""

    interval_length_s: int
    energy_wh: float
    power_w: float
    current_a: float
    register_range_wh: int
    #: In Wh as in W: below, neither energy nor power needs a look of its own.
    usual: float

    @classmethod
    def of(cls, interval_length_s: int, max_power_w: float, register_range_wh: int, ratio: float = 1.0) -> "Limits":
        """Those of a meter that is built for `max_power_w`; the primary is `ratio` times the power that it counts."""
        current_a = max_power_w * _MARGIN / len(PHASES) / NOMINAL_V
        energy_wh = min(most_wh(interval_length_s, max_power_w), _COLUMN / ratio)
        power_w = min(max_power_w * _MARGIN, _COLUMN / ratio)
        return cls(interval_length_s, energy_wh, power_w, current_a, register_range_wh, min(energy_wh, power_w))

    def fault_of_registers(self, registers: Registers, at_s: float, latest_s: float) -> str | None:
        """The same for what a meter shows at `at_s`. `latest_s`: by no clock can it be later, even by a fast one."""
        if at_s < YEAR_2000_S:
            return "before_2000"
        if at_s + MOST_AGE_S < latest_s:
            return "too_old"
        if at_s > latest_s:
            return "ahead_of_clock"
        reactive = (value for name, value in registers.channels.items() if name.endswith("_register_varh"))
        if max(registers.import_register_wh, registers.export_register_wh, *reactive) >= self.register_range_wh:
            return "beyond_register"
        if registers.channels.get("max_demand_import_w", 0) > self.power_w:
            return "power_beyond_rating"
        return self.fault_of_moment(registers)

    def fault_of_moment(self, registers: Registers) -> str | None:
        """The same for what a meter measures at an instant: powers, voltages and currents."""
        channels = registers.channels
        powers = (registers.active_power_w, *(channels.get(name, ABSENT) for name in _NET_POWERS))
        if any(abs(power) > self.power_w for power in powers if power != ABSENT):
            return "power_beyond_rating"
        if any(voltage_v > MAX_VOLTAGE_V for voltage_v in registers.voltages_v):
            return "beyond_voltage"
        if any(channels.get(name, 0.0) > self.current_a for name in _CURRENTS):
            return "current_beyond_rating"
        return None

    def fault_of(self, reading: Reading, length_s: int, latest_start_s: float) -> str | None:
        """Why the interval cannot be believed, in one word; None if it can.

        A negative count no driver lets through, but what stands for "not reported". `latest_start_s`: no interval that
        starts later can be over yet, even by a clock that is fast.
        """
        start_s = reading.end_s - length_s
        # Nearly all: this is hot.
        if (
            length_s == self.interval_length_s
            and not start_s % length_s
            and YEAR_2000_S <= start_s <= latest_start_s <= start_s + MOST_AGE_S
            and max(_energies_and_powers_of(reading)) <= self.usual
            and -min(_net_powers_of(reading)) <= self.usual
            and max(_registers_of(reading)) < self.register_range_wh
            and YEAR_2000_S <= reading.max_demand_at_s <= latest_start_s + length_s
            and reading.voltage_l1_v <= MAX_VOLTAGE_V
            and reading.voltage_l2_v <= MAX_VOLTAGE_V
            and reading.voltage_l3_v <= MAX_VOLTAGE_V
            and reading.current_l1_a <= self.current_a
            and reading.current_l2_a <= self.current_a
            and reading.current_l3_a <= self.current_a
        ):
            return None
        if length_s != self.interval_length_s:
            return "wrong_length"
        if start_s % length_s:
            return "off_grid"
        if start_s < YEAR_2000_S:
            return "before_2000"
        if start_s + MOST_AGE_S < latest_start_s:
            return "too_old"
        if start_s > latest_start_s:
            return "ahead_of_clock"
        if max(_energies_of(reading)) > self.energy_wh:
            return "energy_beyond_rating"
        if any(abs(power) > self.power_w for power in _powers_of(reading) if power != ABSENT):
            return "power_beyond_rating"
        if max(_registers_of(reading)) >= self.register_range_wh:
            return "beyond_register"
        # Not by the interval's end: a clock that was put back has shown later times.
        demand_at_s = reading.max_demand_at_s
        if demand_at_s != ABSENT and not YEAR_2000_S <= demand_at_s <= latest_start_s + length_s:
            return "beyond_demand_time"
        # One by one: of the not reported, NaN, a maximum is whatever comes first.
        if any(voltage_v > MAX_VOLTAGE_V for voltage_v in _voltages_of(reading)):
            return "beyond_voltage"
        if any(current_a > self.current_a for current_a in _currents_of(reading)):
            return "current_beyond_rating"
        return None
