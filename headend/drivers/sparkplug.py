"""Drivers `sparkplug-mesh` and `sparkplug-plc`: meters behind collectors (docs/wire-sparkplug.md)."""

from headend.drivers import Driver

INTERVAL_LENGTH_S = 900

#: Power-line carrier reads its meters each hour, a radio mesh every four.
DRIVERS = tuple(
    Driver(
        vendor_profile=vendor_profile,
        protocol="sparkplug",
        interval_length_s=INTERVAL_LENGTH_S,
        report_every_s=report_every_s,
    )
    for vendor_profile, report_every_s in (("sparkplug-mesh", 14_400), ("sparkplug-plc", 3_600))
)
