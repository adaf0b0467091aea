"""The vendor profile `sdm630`: polled, so it has no messages to decode (headend/modbus)."""

from headend.drivers import Driver
from headend.links.modbus.sdm630 import ROLL_OVER_WH

DRIVER = Driver(
    vendor_profile="sdm630",
    protocol="modbus",
    interval_length_s=900,
    report_every_s=900,
    register_range_wh=ROLL_OVER_WH,
)
