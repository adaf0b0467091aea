"""Entries of amilab's own event log: a code, a sequence number and a JSON object of details with times in ISO 8601.

Drivers whose meters keep such a log share it; which bytes bring it is each one's own. Raises only DecodeError.
"""

from collections.abc import Mapping

import orjson

from headend.drivers.checks import MAX_SEQUENCE, MAX_VOLTAGE_V, integer, number, text
from headend.drivers.iso8601 import time_s
from headend.drivers.records import DecodeError, EndDeviceEvent, EventCode

_SUPPLY_EVENTS = frozenset((EventCode.LAST_GASP, EventCode.POWER_RESTORE, EventCode.MOMENTARY))
_PHASE_EVENTS = frozenset((EventCode.PHASE_LOSS, EventCode.PHASE_RESTORED))
PHASES = ("L1", "L2", "L3")
_EXTREMES = {EventCode.VOLTAGE_SAG.value: "lowest_v", EventCode.VOLTAGE_SWELL.value: "highest_v"}
_MOST_DURATION_S = 366 * 86_400.0


def end_device_event(*, device_time_s: int, sequence: object, code: object, detail: object) -> EndDeviceEvent:
    """An event of this log, whatever carried it. Unlisted codes are kept as they are."""
    name = text(code, "code")
    if not isinstance(detail, dict):
        raise DecodeError("bad_structure", "detail is not an object")
    try:
        detail_json = orjson.dumps(detail)
    except TypeError as error:
        raise DecodeError("bad_value", f"detail: {error}") from error
    if b"\\u0000" in detail_json:
        raise DecodeError("bad_value", "detail holds a NUL character")
    refused = name == EventCode.COMMAND_REFUSED
    down_s, up_s = _interruption(name, detail)
    _check_phase(name, detail)
    _check_voltage(name, detail)
    command = detail.get("command")
    reason = detail.get("reason")
    return EndDeviceEvent(
        device_time_s=device_time_s,
        sequence=integer(sequence, "the sequence number", maximum=MAX_SEQUENCE),
        code=name,
        detail_json=detail_json.decode(),
        refused_command=command if refused and isinstance(command, str) else None,
        refused_reason=text(reason, "reason") if refused and reason is not None else None,
        restored=name == EventCode.POWER_RESTORE,
        down_s=down_s,
        up_s=up_s,
    )


def _check_phase(code: str, detail: Mapping[str, object]) -> None:
    """A lost phase is no loss of supply; outages of customers that had only that one are found with its help."""
    if code not in _PHASE_EVENTS:
        return
    if detail.get("phase") not in PHASES:
        raise DecodeError("bad_value", f"phase is none of {', '.join(PHASES)}")
    down_s = time_s(detail.get("down_at"))
    if code == EventCode.PHASE_RESTORED and time_s(detail.get("up_at")) < down_s:
        raise DecodeError("bad_value", "up_at is before down_at")


def _check_voltage(code: str, detail: Mapping[str, object]) -> None:
    """A sag or swell has a phase, its extreme and how long it lasted: dashboards compute with them."""
    extreme = _EXTREMES.get(code)
    if extreme is None:
        return
    if detail.get("phase") not in PHASES:
        raise DecodeError("bad_value", f"phase is none of {', '.join(PHASES)}")
    number(detail.get(extreme), extreme, minimum=0.0, maximum=MAX_VOLTAGE_V)
    number(detail.get("duration_s"), "duration_s", minimum=0.0, maximum=_MOST_DURATION_S)


def _interruption(code: str, detail: Mapping[str, object]) -> tuple[int | None, int | None]:
    """When supply was lost and when it came back, for the events that tell it."""
    if code not in _SUPPLY_EVENTS:
        return None, None
    down_s = time_s(detail.get("down_at"))
    if code == EventCode.LAST_GASP:
        return down_s, None
    up_s = time_s(detail.get("up_at"))
    if up_s < down_s:
        raise DecodeError("bad_value", "up_at is before down_at")
    return down_s, up_s
