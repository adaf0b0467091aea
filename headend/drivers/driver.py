"""What the head-end knows of a vendor profile: what its meters can do, their cadence, and how their bytes are read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from headend.drivers.records import Decode, DeviceReport, NamedValue
from headend.drivers.register_map import RegisterMap

Carrier = Literal["mqtt", "sparkplug", "modbus"]
Verifier = Literal["meter", "gateway_link"]
Medium = Literal["mesh", "plc", "cellular", "wired"]
_USUAL: Mapping[Carrier, Medium] = {"mqtt": "cellular", "sparkplug": "mesh", "modbus": "wired"}


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What meters of a profile can do; generic code asks these, never the profile's name.

    `purposes`: the commands that it can be sent. `last_verifier`: who checks a command's signature last, before
    something happens: the meter itself, or our own gateway link where its wire, Modbus, cannot carry one. `medium`:
    what its frames cross before they are with a collector or the broker; None: what is usual for the carrier.
    """

    carrier: Carrier
    reports_itself: bool
    keeps_load_profile: bool
    reports_outages: bool
    has_relay: bool = False
    last_verifier: Verifier = "meter"
    purposes: frozenset[str] = frozenset()
    medium: Medium | None = None

    @property
    def medium_or_usual(self) -> Medium:
        """What its frames cross."""
        return self.medium or _USUAL[self.carrier]

    @property
    def needs_collector(self) -> bool:
        """Its address is the collector that speaks for it."""
        return self.carrier == "sparkplug"

    @property
    def needs_gateway(self) -> bool:
        """Its address is `host:port/unit`, where it is polled."""
        return self.carrier == "modbus"

    @property
    def connects_itself(self) -> bool:
        """It needs nobody's address: it has a connection of its own to the broker."""
        return not self.needs_collector and not self.needs_gateway


@dataclass(frozen=True, slots=True)
class MqttTopic:
    """What comes by a topic. `any_order`: interval readings alone, which say themselves what they are of.

    Any number of processes share what comes in any order. All else of a meter passes through one, as it was sent.
    """

    decode: Decode
    any_order: bool = False


class DecodeReport(Protocol):
    """Takes the metrics of a message apart. `length_s`: the capture period as told before, `birth`: it is a DBIRTH."""

    def __call__(self, values: Iterable[NamedValue], length_s: int, *, birth: bool) -> DeviceReport: ...


@dataclass(frozen=True, slots=True)
class Driver:
    """A vendor profile: its capabilities, its cadence and, by carrier, how it is read.

    `mqtt`: what comes by a topic below `dt/<group>/<serial>/`. `sparkplug`: the decoder of a device's metrics.
    `modbus`: the map of its registers. Each decoder raises only DecodeError. The one of its carrier is there.
    `report_every_s`: how often its intervals come; of a meter without a load profile, each when its end was read.
    """

    vendor_profile: str
    capabilities: Capabilities
    interval_length_s: int
    report_every_s: int
    #: In each of three phases; a meter behind current transformers has its own in the shipment file.
    max_current_a: float = 100.0
    #: A register shows 0 after the last value below.
    register_range_wh: int = 1_000_000_000
    mqtt: Mapping[str, MqttTopic] | None = None
    sparkplug: DecodeReport | None = None
    modbus: RegisterMap | None = None
