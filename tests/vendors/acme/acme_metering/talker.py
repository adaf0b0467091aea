"""Acme Talker: reports its registers over MQTT by itself, and keeps no load profile.

A telegram is `epoch s;imported Wh;exported Wh;W;V;V;V`, a hello `here` or `gone`.
"""

from headend.drivers import (
    Capabilities,
    DecodeError,
    DeviceState,
    Driver,
    Message,
    MomentaryReport,
    MqttTopic,
    RegisterReport,
)


def telegram(payload: bytes) -> list[Message]:
    try:
        at_s, imported_wh, exported_wh, power_w, *volts = (float(part) for part in payload.decode().split(";"))
        first, second, third = volts
        return [
            MomentaryReport(at_s, round(power_w), (first, second, third)),
            RegisterReport(at_s, round(imported_wh), round(exported_wh)),
        ]
    except (ValueError, OverflowError) as error:
        raise DecodeError("bad_structure", str(error)) from error


def hello(payload: bytes) -> DeviceState:
    if payload not in (b"here", b"gone"):
        raise DecodeError("bad_value", "neither here nor gone")
    return DeviceState(payload == b"here", None, None)


DRIVER = Driver(
    vendor_profile="acme-talker",
    capabilities=Capabilities(carrier="mqtt", reports_itself=True, keeps_load_profile=False, reports_outages=False),
    interval_length_s=900,
    report_every_s=900,
    max_current_a=80.0,
    mqtt={"telegram/now": MqttTopic(telegram), "hello": MqttTopic(hello)},
)
