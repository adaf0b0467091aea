"""Answers to commands that ask for no load profile, and what they show, by OBIS code (docs/wire-rl-dsp.md, Answer)."""

import math
from collections.abc import Mapping

from headend.drivers.checks import MAX_COUNTER, integer, text
from headend.drivers.obis import counters_from, measures_from
from headend.drivers.records import (
    ABSENT,
    ANSWER_STATES,
    ON_DEMAND_CHANNELS,
    PHASES,
    READING_COUNTERS,
    READING_MEASURES,
    CommandAnswer,
    DecodeError,
    Registers,
)

_DECIMALS = 3


def registers(values: Mapping[str, object]) -> Registers:
    """All that a meter shows at one instant, by OBIS code (docs/wire-rl-dsp.md); of codes it need not have all.

    The time of the maximum demand is in epoch seconds here.
    """
    import_wh, export_wh = (integer(values.get(code), code, maximum=MAX_COUNTER) for code in ("1.8.0", "2.8.0"))
    counted = dict(zip(READING_COUNTERS, counters_from(values), strict=True))
    measured = dict(zip(READING_MEASURES, measures_from(values), strict=True))
    from_grid_w, to_grid_w = (max(counted[name], 0) for name in ("import_power_w", "export_power_w"))
    first, second, third = (round(measured[f"voltage_l{phase}_v"], 1) for phase in PHASES)
    # Some wires have float32.
    known: dict[str, int | float] = {
        **{name: value for name, value in counted.items() if value != ABSENT},
        **{name: round(value, _DECIMALS) for name, value in measured.items() if not math.isnan(value)},
    }
    channels = {name: known[name] for name in ON_DEMAND_CHANNELS if name in known}
    return Registers(import_wh, export_wh, from_grid_w - to_grid_w, (first, second, third), channels)


def command_answer(
    *, command: object, device_time_s: int, state: object, reason: object, values: Mapping[str, object] | None
) -> CommandAnswer:
    """An answer to a command that asks for no load profile, whatever carried it."""
    if state not in ANSWER_STATES:
        raise DecodeError("bad_value", f"state is {state!r:.60}, not one of {', '.join(ANSWER_STATES)}")
    return CommandAnswer(
        command_id=text(command, "command"),
        device_time_s=float(device_time_s),
        state=str(state),
        registers=None if values is None else registers(values),
        reason=None if reason is None else text(reason, "reason"),
    )
