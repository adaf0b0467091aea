"""The decoder against docs/wire-shelly-pro-3em.md, and against whatever else comes."""

from __future__ import annotations

import json
import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headend.drivers import DecodeError, DeviceState, MomentaryReport, RegisterReport, driver_for

DRIVER = driver_for("shelly-pro-3em")
assert DRIVER.mqtt is not None
NOTIFICATION, ONLINE = DRIVER.mqtt["events/rpc"].decode, DRIVER.mqtt["online"].decode
AT_S = 1_768_436_100.04
EM = {
    "id": 0, "a_current": 1.203, "a_voltage": 231.4, "a_act_power": -278.1, "b_voltage": 229.96, "c_voltage": None,
    "n_current": None, "total_act_power": -278.14,
}  # fmt: skip
EMDATA = {"id": 0, "a_total_act_energy": 1.0, "total_act": 415_061.53, "total_act_ret": 12.5}

# What devices were seen to send: logs in ioBroker.shelly #787 (March 2023), an example of the project eddie (2025).
SEEN_2023 = {
    "id": 0, "a_act_power": 2407.9, "a_aprt_power": 2484.2, "a_current": 10.626, "a_pf": 0.97, "a_voltage": 233.9,
    "b_act_power": 408.8, "b_aprt_power": 442.2, "b_current": 1.865, "b_pf": -0.93, "b_voltage": 237.1,
    "c_act_power": 222.8, "c_aprt_power": 263.3, "c_current": 1.111, "c_pf": -0.88, "c_voltage": 237.2,
    "n_current": None, "total_act_power": 3039.524, "total_aprt_power": 3189.632, "total_current": 13.602,
}  # fmt: skip
SEEN_2025 = {
    "id": 0, "a_act_power": 0, "a_aprt_power": 0, "a_current": 0.027, "a_freq": 198, "a_pf": 1, "a_voltage": 0,
    "b_act_power": 0, "b_aprt_power": 0, "b_current": 0.027, "b_freq": 160.7, "b_pf": 1, "b_voltage": 0,
    "c_act_power": -18, "c_aprt_power": 108.7, "c_current": 0.476, "c_freq": 50, "c_pf": 0.55, "c_voltage": 228.3,
    "n_current": None, "total_act_power": -18.017, "total_aprt_power": 108.708, "total_current": 0.531,
}  # fmt: skip
SEEN_ENERGIES = {
    "id": 0, "a_total_act_energy": 0.06, "a_total_act_ret_energy": 0, "b_total_act_energy": 0.06,
    "b_total_act_ret_energy": 0.01, "c_total_act_energy": 26289.44, "c_total_act_ret_energy": 131881.85,
    "total_act": 26289.57, "total_act_ret": 131881.86,
}  # fmt: skip

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=8,
)


def notification(**params: object) -> bytes:
    said = {"src": "shellypro3em-1", "dst": "x/events", "method": "NotifyStatus"}
    named = {"em:0" if name == "em" else "emdata:0" if name == "emdata" else name: p for name, p in params.items()}
    return json.dumps({**said, "params": named}).encode()


def test_both_components_in_one_notification() -> None:
    moment, registers = NOTIFICATION(notification(ts=AT_S, em=EM, emdata=EMDATA))  # type: ignore[misc]  # a list
    assert isinstance(moment, MomentaryReport)
    assert (moment.at_s, moment.active_power_w, moment.voltages_v[:2]) == (AT_S, -278, (231.4, 230.0))
    assert math.isnan(moment.voltages_v[2])
    assert registers == RegisterReport(AT_S, 415_062, 12)


def test_each_by_itself_as_devices_send_them_and_nothing_of_others() -> None:
    assert [type(each) for each in NOTIFICATION(notification(ts=AT_S, em=EM))] == [MomentaryReport]
    assert [type(each) for each in NOTIFICATION(notification(ts=AT_S, emdata=EMDATA))] == [RegisterReport]
    assert NOTIFICATION(notification(ts=AT_S, wifi={"rssi": -60})) == []
    assert NOTIFICATION(b'{"method":"NotifyEvent","params":{"ts":1,"events":[]}}') == []


def test_what_devices_send_is_read_by_phase() -> None:
    (moment,) = NOTIFICATION(notification(ts=1678699437.95, em=SEEN_2023))  # type: ignore[misc]  # a list
    assert isinstance(moment, MomentaryReport)
    assert (moment.active_power_w, moment.voltages_v) == (3040, (233.9, 237.1, 237.2))
    assert moment.channels == {
        "active_power_l1_w": 2408, "active_power_l2_w": 409, "active_power_l3_w": 223,
        "current_l1_a": 10.626, "current_l2_a": 1.865, "current_l3_a": 1.111,
        "power_factor_l1": 0.97, "power_factor_l2": 0.93, "power_factor_l3": 0.88,
    }  # fmt: skip
    moment, registers = NOTIFICATION(notification(ts=1757060280.21, em=SEEN_2025, emdata=SEEN_ENERGIES))  # type: ignore[misc]
    assert isinstance(moment, MomentaryReport)
    assert moment.channels["active_power_l3_w"] == -18
    assert moment.channels["power_factor_l3"] == -0.55, "as the power, whatever the firmware's sign"
    assert registers == RegisterReport(1757060280.21, 26290, 131882)


def test_what_a_device_does_not_say_is_absent() -> None:
    (moment,) = NOTIFICATION(notification(ts=AT_S, em=EM))  # type: ignore[misc]  # a list
    assert isinstance(moment, MomentaryReport)
    assert moment.channels == {"current_l1_a": 1.203, "active_power_l1_w": -278}


def test_whether_it_is_connected() -> None:
    assert ONLINE(b"true") == DeviceState(True, None, None)
    assert ONLINE(b"false") == DeviceState(False, None, None)
    with pytest.raises(DecodeError, match="neither true nor false"):
        ONLINE(b"1")


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\xff", "not_json"),
        (b"[]", "bad_structure"),
        (b'{"method":3}', "bad_structure"),
        (b'{"method":"NotifyStatus"}', "bad_structure"),
        (notification(ts=AT_S, em=[1]), "bad_structure"),
        (notification(ts="now", em=EM), "bad_value"),
        (notification(ts=True, em=EM), "bad_value"),
        (notification(ts=AT_S, em={**EM, "total_act_power": 1e12}), "bad_value"),
        (notification(ts=AT_S, em={**EM, "a_voltage": -1}), "bad_value"),
        (notification(ts=AT_S, em={**EM, "b_current": -0.1}), "bad_value"),
        (notification(ts=AT_S, em={**EM, "c_act_power": "1"}), "bad_value"),
        (notification(ts=AT_S, em={**EM, "a_pf": 1.01}), "bad_value"),
        (notification(ts=AT_S, emdata={**EMDATA, "total_act": -0.01}), "bad_value"),
        (notification(ts=AT_S, emdata={"total_act": 1.0}), "bad_value"),
    ],
)
def test_what_is_none_is_refused_with_its_reason(payload: bytes, reason: str) -> None:
    with pytest.raises(DecodeError) as raised:
        NOTIFICATION(payload)
    assert raised.value.reason == reason


@given(
    st.binary(max_size=80) | json_values.map(lambda value: json.dumps(value).encode()),
    json_values,
    json_values,
    json_values,
)
def test_whatever_comes_is_decoded_or_refused(raw: bytes, ts: object, em: object, emdata: object) -> None:
    for payload in (raw, notification(ts=ts, em=em, emdata=emdata), notification(ts=AT_S, em=em)):
        with suppress(DecodeError):
            NOTIFICATION(payload)
