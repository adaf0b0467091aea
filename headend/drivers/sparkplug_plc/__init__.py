"""`sparkplug-plc`: meters that a collector reads over power-line carrier (docs/wire-sparkplug.md)."""

from headend.drivers.driver import Capabilities, Driver
from headend.drivers.obis_metrics import decode_report

DRIVER = Driver(
    vendor_profile="sparkplug-plc",
    capabilities=Capabilities(
        carrier="sparkplug",
        reports_itself=True,
        keeps_load_profile=True,
        reports_outages=True,
        has_relay=True,
        last_verifier="meter",
        medium="plc",
        purposes=frozenset(("load_profile.read", "ping", "register.read")),
    ),
    interval_length_s=900,
    # Power-line carrier reads its meters each hour.
    report_every_s=3_600,
    sparkplug=decode_report,
)
