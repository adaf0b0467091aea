"""How patiently devices are asked, and how much a collector or a cell is asked to carry. Pure.

Without pacing all are asked alike, as the settings say, and as many at once as a sweep has. With it each is asked at
the pace of its medium: a mesh or a cell is shared, and whoever asks all that came back at once drowns what they bring
by themselves. The figures are amilab's own; what they are derived from stands beside each.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from headend.backoff import BackOff
from headend.buckets import Allowance
from headend.drivers.driver import Medium
from headend.registry import EndDevice
from headend.settings import HeadEndSettings

ROWS_PER_PART = 32
"""Of an answer (docs/wire-rl-dsp.md)."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Of one device.

    `grace_s`: a read is missing so long after the report that was to bring it. `back_off`: between requests to one that
    is heard of; `silence`: to one that is not. `expiry_s`: how long a request may be answered. `order_first_s`,
    `order_max_s`: pauses between attempts at a command of anybody else's. `allowance`: messages that its collector or
    cell carries for gap recovery; None: any number.
    """

    grace_s: int
    back_off: BackOff
    silence: BackOff
    expiry_s: int
    order_first_s: float
    order_max_s: float
    allowance: Allowance | None = None


# Mesh: a frame takes a second or so over its hops; 98 % of reads come within 2 h, of commands within 10 s (RFC 8036,
# 4.2). 600 messages/h ask 200 meters behind one collector, each with one answer, in 40 min: in the window of the reads.
_MESH = Pace(
    grace_s=300,
    back_off=BackOff(120.0, 3_600.0),
    silence=BackOff(900.0, 14_400.0),
    expiry_s=1_800,
    order_first_s=20.0,
    order_max_s=900.0,
    allowance=Allowance(at_once=60, per_hour=600),
)
# Power line: half duplex, one poll after another, 1 to 10 s each; 99 % of a block of 200 meters come within 15 min.
# Recovery takes no more than a quarter of that medium, at 4 s a message.
_PLC = Pace(
    grace_s=900,
    back_off=BackOff(300.0, 7_200.0),
    silence=BackOff(900.0, 14_400.0),
    expiry_s=3_600,
    order_first_s=60.0,
    order_max_s=1_800.0,
    allowance=Allowance(at_once=24, per_hour=240),
)
# Cellular: a report takes up to 10 s (NB-IoT), and attaches are what a cell has few of; thousands share one. 3,600
# messages/h are one a second, a fiftieth of what a cell is taken to carry (docs/communications-network.md).
_CELLULAR = Pace(
    grace_s=300,
    back_off=BackOff(60.0, 1_800.0),
    silence=BackOff(900.0, 14_400.0),
    expiry_s=900,
    order_first_s=30.0,
    order_max_s=900.0,
    allowance=Allowance(at_once=360, per_hour=3_600),
)
PACES: Mapping[Medium, Pace] = {"mesh": _MESH, "plc": _PLC, "cellular": _CELLULAR}


def unpaced(settings: HeadEndSettings) -> Pace:
    """For a medium that nobody shares, or where all are asked alike."""
    return Pace(
        grace_s=settings.gap_grace_s,
        back_off=BackOff(settings.retry_first_s, settings.retry_max_s),
        silence=BackOff(settings.retry_silent_s, settings.retry_silent_s),
        expiry_s=settings.command_expiry_s,
        order_first_s=settings.order_retry_s,
        order_max_s=settings.retry_max_s,
    )


def pace_of(settings: HeadEndSettings, device: EndDevice) -> Pace:
    """How this device is asked."""
    paced = PACES.get(device.driver.capabilities.medium_or_usual) if settings.pacing else None
    return paced or unpaced(settings)


def carrier_of(device: EndDevice) -> str:
    """Whose allowance it takes from: its collector's, or its cell's. Where no cell is known, all share one."""
    return device.address if device.driver.capabilities.needs_collector else f"cell {device.cell}"
