"""What a meter can honestly say of an interval. Pure: what is known of the meter and the instant in, a reason out.

A reading that fails is kept beside the others (table implausible_reading), counts in no sum and settles nothing.
"""

#: IEC 60449, band II: nothing on a low-voltage network is above.
MAX_VOLTAGE_V = 1_000.0
# Fuses let more than their rating pass for a while, and networks run above their nominal voltage.
_MARGIN = 1.5
# A clock that is put right makes an interval a little longer than it says.
_SLACK_S = 5.0
# Two of the coarsest register steps (float32 kWh), one at each end.
_SLACK_WH = 16.0


def rated_power_w(max_current_a: float, *, phases: int = 3, voltage_v: float = 230.0) -> float:
    """What a meter is built for: its maximum current in each phase at the nominal voltage to neutral."""
    return max_current_a * phases * voltage_v


def most_wh(length_s: float, max_power_w: float) -> float:
    """The most energy that a meter of this rating can have counted in `length_s`, with a margin of one half."""
    return (length_s + _SLACK_S) / 3600.0 * max_power_w * _MARGIN + _SLACK_WH


def can_have_passed(energy_wh: float, length_s: float, max_power_w: float) -> bool:
    """Whether so much energy, in either direction, can have passed a meter of this rating in `length_s`."""
    return 0 <= energy_wh <= most_wh(length_s, max_power_w)
