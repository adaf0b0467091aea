"""From registers at two boundaries to the intervals between them. Pure; instants are epoch s, energies whole Wh."""

from headend.store.register_records import BoundaryReading, DerivedInterval

#: Only a register that shows at least this share of its range can have rolled over since.
NEAR_TOP = 0.9


class Implausible(Exception):  # noqa: N818 - a finding, not a fault of the program
    """A register cannot have come from one value to the other. `reason`: register_backwards or register_jump."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def advance_of(before_wh: int, after_wh: int, *, roll_over_wh: int, most_wh: float) -> int:
    """By how much a register has advanced. Raises Implausible.

    `most_wh`: what the meter can pass in the time. A lower value is a roll-over only from near the top.
    """
    advance_wh = after_wh - before_wh
    if advance_wh < 0 and before_wh >= NEAR_TOP * roll_over_wh:
        advance_wh += roll_over_wh
    if 0 <= advance_wh <= most_wh:
        return advance_wh
    reason = "register_backwards" if after_wh < before_wh else "register_jump"
    raise Implausible(reason, f"from {before_wh} Wh to {after_wh} Wh, where {most_wh:.0f} Wh is the most there can be")


def intervals_between(
    before: BoundaryReading, after: BoundaryReading, *, length_s: int, roll_over_wh: int, most_wh: float
) -> list[DerivedInterval]:
    """The intervals from one boundary to another: one actual, or k + 1 estimated ones where k boundaries were missed.

    One between registers of which one was interpolated is estimated, too. Estimates follow the straight line between
    the two registers, in whole Wh, and sum exactly to the difference. Raises Implausible.
    """
    first, last = before.registers, after.registers
    imported_wh, exported_wh = (
        advance_of(one, other, roll_over_wh=roll_over_wh, most_wh=most_wh)
        for one, other in (
            (first.import_register_wh, last.import_register_wh),
            (first.export_register_wh, last.export_register_wh),
        )
    )
    count = (after.boundary_s - before.boundary_s) // length_s
    return [
        DerivedInterval(
            start_s=before.boundary_s + number * length_s,
            import_wh=imported_wh * (number + 1) // count - imported_wh * number // count,
            export_wh=exported_wh * (number + 1) // count - exported_wh * number // count,
            estimated=count > 1 or before.interpolated or after.interpolated,
        )
        for number in range(count)
    ]
