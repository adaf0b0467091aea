"""`shelly-pro-3em`: a meter that reports its registers over MQTT, and keeps no load profile.

Written from docs/wire-shelly-pro-3em.md. Pure; whatever the bytes are, only DecodeError is raised.
"""

import math
from typing import Any

import orjson

from headend.drivers.checks import MAX_COUNTER, MAX_CURRENT_A, MAX_POWER_W, MAX_VOLTAGE_V, number
from headend.drivers.driver import Capabilities, Driver, MqttTopic
from headend.drivers.records import DecodeError, DeviceState, Message, MomentaryReport, RegisterReport

_MAX_TIME_S = 2**40


def decode_notification(payload: bytes) -> list[Message]:
    """What a `NotifyStatus` says of `em:0` and `emdata:0`; nothing for what is notified of other components."""
    try:
        notification = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise DecodeError("not_json", str(error)) from error
    if not isinstance(notification, dict) or not isinstance(notification.get("method"), str):
        raise DecodeError("bad_structure", "no notification: an object with a method")
    if notification["method"] != "NotifyStatus":
        return []
    params = _component(notification, "params")
    found: list[Message] = []
    if "em:0" in params:
        em = _component(params, "em:0")
        power_w = number(em.get("total_act_power"), "total_act_power", minimum=-MAX_POWER_W, maximum=MAX_POWER_W)
        voltages_v = (_voltage_v(em, "a_voltage"), _voltage_v(em, "b_voltage"), _voltage_v(em, "c_voltage"))
        found.append(MomentaryReport(_at_s(params), round(power_w), voltages_v, _channels(em)))
    if "emdata:0" in params:
        emdata = _component(params, "emdata:0")
        total_wh, returned_wh = (
            round(number(emdata.get(name), name, minimum=0.0, maximum=MAX_COUNTER))
            for name in ("total_act", "total_act_ret")
        )
        found.append(RegisterReport(_at_s(params), total_wh, returned_wh))
    return found


def decode_online(payload: bytes) -> DeviceState:
    """Whether it is connected; the broker says `false` for it when it is gone."""
    if payload not in (b"true", b"false"):
        raise DecodeError("bad_value", "online is neither true nor false")
    return DeviceState(online=payload == b"true", device_time_s=None, boot=None)


def _channels(em: dict[str, Any]) -> dict[str, int | float]:
    """Power, current and power factor of each phase, as far as they are there."""
    found: dict[str, int | float] = {}
    for phase, name in enumerate("abc", start=1):
        power, current, factor = (em.get(f"{name}_{each}") for each in ("act_power", "current", "pf"))
        if current is not None:
            found[f"current_l{phase}_a"] = round(
                number(current, f"{name}_current", minimum=0, maximum=MAX_CURRENT_A), 3
            )
        if power is None:
            continue
        power_w = number(power, f"{name}_act_power", minimum=-MAX_POWER_W, maximum=MAX_POWER_W)
        found[f"active_power_l{phase}_w"] = round(power_w)
        if factor is not None:
            # Earlier firmware signs it as leading or lagging, and later not at all. Here it has the power's sign.
            size = abs(number(factor, f"{name}_pf", minimum=-1, maximum=1))
            found[f"power_factor_l{phase}"] = math.copysign(round(size, 3), power_w)
    return found


def _component(parent: dict[str, Any], name: str) -> dict[str, Any]:
    found = parent.get(name)
    if not isinstance(found, dict):
        raise DecodeError("bad_structure", f"{name} is not an object")
    return found


def _at_s(params: dict[str, Any]) -> float:
    return number(params.get("ts"), "ts", minimum=0.0, maximum=_MAX_TIME_S)


def _voltage_v(em: dict[str, Any], name: str) -> float:
    value = em.get(name)
    return math.nan if value is None else round(number(value, name, minimum=0.0, maximum=MAX_VOLTAGE_V), 1)


DRIVER = Driver(
    vendor_profile="shelly-pro-3em",
    capabilities=Capabilities(
        carrier="mqtt", reports_itself=True, keeps_load_profile=False, reports_outages=False, last_verifier="meter"
    ),
    interval_length_s=900,
    # Each interval is there once its end was reported.
    report_every_s=900,
    max_current_a=120.0,
    register_range_wh=1_000_000_000,
    mqtt={"events/rpc": MqttTopic(decode_notification), "online": MqttTopic(decode_online)},
)
