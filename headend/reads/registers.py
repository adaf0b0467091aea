"""From registers at boundaries to rows: the same for meters that are polled and for those that report registers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from headend.log import logger
from headend.reads.follow import Follower, Taken
from headend.registry import EndDevice
from headend.store.register_records import AcceptedRow, BoundaryReading, DerivedRow, RegisterRow, RegisterRows

NEAR_S = 60
"""Registers that were read, or reported, so long away from a boundary are none of it any more."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why somebody should look at a meter: to be kept once, as a dead letter."""

    reason: str
    detail: str


class RegisterReads:
    """What is known of the registers of `devices`."""

    def __init__(self, devices: Iterable[EndDevice]) -> None:
        self._followers = {
            device.id: Follower(
                device.driver.interval_length_s,
                device.driver.register_range_wh,
                device.max_power_w,
                device.ratios.power,
            )
            for device in devices
        }

    def __contains__(self, device: EndDevice) -> bool:
        return device.id in self._followers

    def restore(self, known: Mapping[int, tuple[BoundaryReading, Iterable[BoundaryReading]]]) -> None:
        """Go on after the last reading that was believed, and those since that were not, by meter id."""
        for meter_id, follower in self._followers.items():
            if meter_id in known:
                follower.last, strays = known[meter_id]
                for stray in strays:
                    follower.take(stray)

    def take(self, rows: RegisterRows, device: EndDevice, reading: BoundaryReading, now_s: float) -> Doubt | None:
        """A meter's next reading. `now_s`: when it came, by the head-end's clock."""
        follower = self._followers[device.id]
        if follower.newest_s is not None and reading.boundary_s <= follower.newest_s:
            return None
        taken = follower.take(reading)
        length_s = follower.length_s
        believed = taken.fault is None or bool(taken.accepted)
        doubt = None if believed or taken.fault is None else taken.fault.reason
        rows.registers.append(RegisterRow(device.id, reading, doubt))
        rows.accepted += [AcceptedRow(device.id, stray.boundary_s) for stray in taken.accepted]
        rows.derived += [
            DerivedRow(
                device.id,
                length_s,
                now_s,
                interval,
                after.registers if interval.start_s + length_s == after.boundary_s and not after.interpolated else None,
                device.ratios,
            )
            for after, intervals in taken.pieces
            for interval in intervals
        ]
        return _doubt(device, taken)


def _doubt(device: EndDevice, taken: Taken) -> Doubt | None:
    if taken.accepted:
        first = taken.accepted[0]
        logger().warning("a meter was replaced or reset: its registers begin anew", serial=device.serial)
        return Doubt(
            "register_replaced",
            f"{taken.fault}; {len(taken.accepted)} polls agree, from {first.registers.import_register_wh} Wh on at"
            f" {first.boundary_s}: what passed before is not known",
        )
    if taken.fault is not None and taken.is_first:
        logger().warning("what a meter shows cannot be: not believed yet", serial=device.serial)
        return Doubt(taken.fault.reason, str(taken.fault))
    return None
