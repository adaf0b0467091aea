"""`sparkplug-mesh`: meters that a collector reads over a radio mesh (docs/wire-sparkplug.md)."""

from headend.drivers.driver import Capabilities, Driver
from headend.drivers.obis_metrics import decode_report

DRIVER = Driver(
    vendor_profile="sparkplug-mesh",
    capabilities=Capabilities(
        carrier="sparkplug",
        reports_itself=True,
        keeps_load_profile=True,
        reports_outages=True,
        has_relay=True,
        last_verifier="meter",
        medium="mesh",
        purposes=frozenset(("load_profile.read", "ping", "register.read")),
    ),
    interval_length_s=900,
    # A radio mesh reads its meters every four hours.
    report_every_s=14_400,
    sparkplug=decode_report,
)
