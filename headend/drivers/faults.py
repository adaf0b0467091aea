"""What contradicts itself in a driver: said when drivers are looked for, since anybody may have written one. Pure."""

import re

from headend.drivers.driver import Driver

_CARRIERS = ("mqtt", "sparkplug", "modbus")
_MEDIA = ("mesh", "plc", "cellular", "wired")
_NAME = re.compile(r"[a-z0-9-]+")
_DAY_S = 86_400
_MOST_CURRENT_A = 100_000
_READS_PROFILES = "load_profile.read"
# It becomes part of a filter that we subscribe to; levels that begin with _ are the lab's own.
_TOPIC = re.compile(r"[^_+#/\x00][^+#/\x00]*(/[^_+#/\x00][^+#/\x00]*)*")


def faults_of(driver: Driver) -> list[str]:
    """Every fault, in words; empty for a driver that can be used."""
    return [*_name_faults(driver), *_carrier_faults(driver), *_cadence_faults(driver), *_bounds_faults(driver)]


def _name_faults(driver: Driver) -> list[str]:
    if isinstance(driver.vendor_profile, str) and _NAME.fullmatch(driver.vendor_profile):
        return []
    return [f"vendor_profile {driver.vendor_profile!r} is not made of a-z, 0-9 and -"]


def _carrier_faults(driver: Driver) -> list[str]:
    meter = driver.capabilities
    if meter.carrier not in _CARRIERS:
        return [f"carrier {meter.carrier!r} is not one of {', '.join(_CARRIERS)}"]
    stated = [name for name in _CARRIERS if getattr(driver, name)]
    faults = []
    if stated != [meter.carrier]:
        has = f"has decoders for {', '.join(stated)}" if stated else "has no decoder"
        faults.append(f"its carrier is {meter.carrier}, and it {has}")
    faults += [f"topic {name!r} cannot be part of a filter" for name in driver.mqtt or () if not _is_topic(name)]
    if meter.medium_or_usual not in _MEDIA:
        faults.append(f"medium {meter.medium!r} is not one of {', '.join(_MEDIA)}")
    if (meter.last_verifier == "gateway_link") != meter.needs_gateway:
        faults.append(
            f"last_verifier is {meter.last_verifier}: over Modbus it is gateway_link, on any other carrier the meter"
        )
    if (_READS_PROFILES in meter.purposes) != meter.keeps_load_profile:
        faults.append(f"purposes: {_READS_PROFILES} is for meters that keep a load profile, and for each of them")
    return faults


def _cadence_faults(driver: Driver) -> list[str]:
    length_s, report_s = driver.interval_length_s, driver.report_every_s
    if not _is_positive(length_s) or _DAY_S % length_s:
        return [f"interval_length_s {length_s} is not a whole number of seconds that divides a day"]
    if not _is_positive(report_s) or report_s % length_s:
        return [f"report_every_s {report_s} is not a multiple of interval_length_s {length_s}"]
    return []


def _bounds_faults(driver: Driver) -> list[str]:
    faults = []
    if not _is_current(driver.max_current_a):
        faults.append(f"max_current_a {driver.max_current_a} is not a current above 0, up to {_MOST_CURRENT_A:,} A")
    if not _is_positive(driver.register_range_wh):
        faults.append(f"register_range_wh {driver.register_range_wh} is not a whole number above 0")
    return faults


def _is_topic(name: object) -> bool:
    return isinstance(name, str) and _TOPIC.fullmatch(name) is not None


def _is_current(value: object) -> bool:
    # Also false of NaN.
    return isinstance(value, int | float) and 0 < value <= _MOST_CURRENT_A


def _is_positive(value: object) -> bool:
    return type(value) is int and value > 0
