"""`rl-dsp-plain`: a meter behind a data collector that sends what the meter's own interface pushes, and no more.

Written from docs/wire-rl-dsp.md, Plain RL-DSP. Pure; whatever the bytes are, only DecodeError is raised.
"""

import math
from typing import Any

import orjson

from headend.drivers.checks import MAX_COUNTER, MAX_POWER_W, MAX_VOLTAGE_V, number
from headend.drivers.driver import Capabilities, Driver, MqttTopic
from headend.drivers.iso8601 import instant_s
from headend.drivers.records import ABSENT, DecodeError, Message, MomentaryReport, RegisterReport

_IMPORT_WH, _EXPORT_WH = "1.8.0", "2.8.0"
_IMPORT_W, _EXPORT_W = "1.7.0", "2.7.0"
_VOLTAGES_V = ("32.7.0", "52.7.0", "72.7.0")


def decode_data(payload: bytes) -> list[Message]:
    """What a `ds` payload says of registers, power and voltages; what else the meter pushes has no channel here."""
    meter = _meter(payload)
    at_s = instant_s(meter.get("ts"))
    power_w = round(_power_w(meter, _IMPORT_W) - _power_w(meter, _EXPORT_W))
    if _IMPORT_W not in meter and _EXPORT_W not in meter:
        power_w = ABSENT
    first, second, third = (_voltage_v(meter, code) for code in _VOLTAGES_V)
    said: list[Message] = [MomentaryReport(at_s, power_w, (first, second, third))]
    if _IMPORT_WH in meter:
        # Where a meter has no register of export, it counts none.
        said.append(RegisterReport(at_s, _register_wh(meter, _IMPORT_WH), _register_wh(meter, _EXPORT_WH)))
    return said


def _meter(payload: bytes) -> dict[str, Any]:
    try:
        message = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise DecodeError("not_json", str(error)) from error
    meter = message.get("meter") if isinstance(message, dict) else None
    if not isinstance(meter, dict):
        raise DecodeError("bad_structure", 'no object "meter"')
    return meter


def _power_w(meter: dict[str, Any], code: str) -> float:
    return number(meter.get(code, 0), code, minimum=0.0, maximum=MAX_POWER_W)


def _voltage_v(meter: dict[str, Any], code: str) -> float:
    return round(number(meter[code], code, minimum=0.0, maximum=MAX_VOLTAGE_V), 1) if code in meter else math.nan


def _register_wh(meter: dict[str, Any], code: str) -> int:
    return round(number(meter.get(code, 0), code, minimum=0.0, maximum=MAX_COUNTER))


DRIVER = Driver(
    vendor_profile="rl-dsp-plain",
    capabilities=Capabilities(
        carrier="mqtt", reports_itself=True, keeps_load_profile=False, reports_outages=False, last_verifier="meter"
    ),
    interval_length_s=900,
    # Each interval is there once its end was reported.
    report_every_s=900,
    # In order: intervals are the differences of registers that follow each other.
    mqtt={"ds": MqttTopic(decode_data)},
)
