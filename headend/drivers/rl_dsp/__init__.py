"""`rl-dsp`: a household meter with an MQTT connection of its own (docs/wire-rl-dsp.md)."""

from headend.drivers.driver import Capabilities, Driver, MqttTopic
from headend.drivers.rl_dsp.wire import decode_answer, decode_event, decode_profile, decode_reading, decode_state

_INTERVAL_LENGTH_S = 900

DRIVER = Driver(
    vendor_profile="rl-dsp",
    capabilities=Capabilities(
        carrier="mqtt",
        reports_itself=True,
        keeps_load_profile=True,
        reports_outages=True,
        has_relay=True,
        last_verifier="meter",
        purposes=frozenset(("load_profile.read", "ping", "register.read")),
    ),
    interval_length_s=_INTERVAL_LENGTH_S,
    # A cellular meter: it reports each interval when it ends.
    report_every_s=_INTERVAL_LENGTH_S,
    mqtt={
        "ds": MqttTopic(decode_reading, any_order=True),
        "ev": MqttTopic(decode_event),
        "st": MqttTopic(decode_state),
        "lp": MqttTopic(decode_profile),
        "an": MqttTopic(decode_answer),
    },
)
