"""Answers to commands that ask for no load profile, and what they show, by OBIS code (docs/wire-rl-dsp.md, Answer)."""

import math
from collections.abc import Mapping

from headend.drivers.checks import MAX_COUNTER, MAX_VOLTAGE_V, integer, number, text
from headend.drivers.records import ANSWER_STATES, CommandAnswer, DecodeError, Registers


def registers(values: Mapping[str, object]) -> Registers:
    """Registers, powers and voltages of one instant, by OBIS code (docs/wire-rl-dsp.md)."""
    import_wh, export_wh = (integer(values.get(code), code, maximum=MAX_COUNTER) for code in ("1.8.0", "2.8.0"))
    from_grid_w, to_grid_w = (integer(values.get(code, 0), code, maximum=MAX_COUNTER) for code in ("1.7.0", "2.7.0"))
    first, second, third = (
        round(number(values[code], code, minimum=0.0, maximum=MAX_VOLTAGE_V), 1) if code in values else math.nan
        for code in ("32.7.0", "52.7.0", "72.7.0")
    )
    return Registers(import_wh, export_wh, from_grid_w - to_grid_w, (first, second, third))


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
