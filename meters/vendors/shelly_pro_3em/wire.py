"""Encoder of the wire `shelly-pro-3em`: docs/wire-shelly-pro-3em.md. Pure: values in, bytes out."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from meters.carriers.wire import Said
from meters.device.quantities import PHASES

QUANTITY_STEPS = {
    "active_power_w": 0.001,
    **{f"voltage_l{phase}_v": 0.1 for phase in PHASES},
    **{f"current_l{phase}_a": 0.001 for phase in PHASES},
    **{f"active_power_l{phase}_w": 0.1 for phase in PHASES},
    **{f"power_factor_l{phase}": 0.01 for phase in PHASES},
}
_LETTERS = dict(zip("abc", PHASES, strict=True))


def client_id(group: str, serial: str) -> str:
    return f"{group}-{serial}"


def home(group: str, serial: str) -> str:
    """Its topic prefix, which is a setting of the device."""
    return f"dt/{group}/{serial}"


def command_topic(group: str, serial: str) -> str:
    """Nothing that comes there does it obey."""
    return f"cmd/{group}/{serial}"


def will(_serial: str) -> Said:
    return Said("online", b"false")


def online(_serial: str, _device_time_s: int, _boot: int) -> list[Said]:
    return [Said("online", b"true")]


def report(serial: str, device_time_s: int, quantities: Mapping[str, float]) -> list[Said]:
    """A NotifyStatus of what it measures (`em:0`) and what it has counted (`emdata:0`)."""
    em: dict[str, object] = {"id": 0}
    emdata: dict[str, object] = {"id": 0}
    for name, phase in _LETTERS.items():
        voltage_v = round(quantities[f"voltage_l{phase}_v"], 1)
        em[f"{name}_current"] = round(quantities[f"current_l{phase}_a"], 3)
        em[f"{name}_voltage"] = voltage_v
        em[f"{name}_act_power"] = round(quantities[f"active_power_l{phase}_w"], 1)
        em[f"{name}_aprt_power"] = round(quantities[f"apparent_power_l{phase}_va"], 1)
        em[f"{name}_pf"] = abs(round(quantities[f"power_factor_l{phase}"], 2))
        em[f"{name}_freq"] = round(quantities["frequency_hz"], 1) if voltage_v else 0.0
        emdata[f"{name}_total_act_energy"] = round(quantities[f"import_l{phase}_wh"], 2)
        emdata[f"{name}_total_act_ret_energy"] = round(quantities[f"export_l{phase}_wh"], 2)
    em["n_current"] = None
    em["total_current"] = round(quantities["current_sum_a"], 3)
    em["total_act_power"] = round(quantities["active_power_w"], 3)
    em["total_aprt_power"] = round(sum(quantities[f"apparent_power_l{phase}_va"] for phase in PHASES), 3)
    emdata["total_act"] = round(quantities["import_wh"], 2)
    emdata["total_act_ret"] = round(quantities["export_wh"], 2)
    name = f"shellypro3em-{serial.lower()}"
    params = {"ts": float(device_time_s), "em:0": em, "emdata:0": emdata}
    said = {"src": name, "dst": f"{name}/events", "method": "NotifyStatus", "params": params}
    return [Said("events/rpc", orjson.dumps(said))]
