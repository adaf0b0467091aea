"""From two polls to the intervals between them. Pure; instants are epoch seconds, energies whole Wh."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Known:
    """Energy registers at a boundary of the interval grid."""

    boundary_s: int
    import_wh: int
    export_wh: int


@dataclass(frozen=True, slots=True)
class Share:
    """The energy of the interval that starts at `start_s`."""

    start_s: int
    import_wh: int
    export_wh: int
    estimated: bool


class RegisterBackwards(Exception):  # noqa: N818 - a finding, not a fault of the program
    """A register shows less than before, and not by a roll-over: the meter was replaced or reset."""


def advance_of(before_wh: int, after_wh: int, roll_over_wh: int) -> int:
    """By how much a register has advanced. Raises RegisterBackwards.

    Less than half its range is taken for an advance, with one roll-over if need be; no household uses more between two
    polls.
    """
    advance_wh = (after_wh - before_wh) % roll_over_wh
    if advance_wh >= roll_over_wh // 2:
        raise RegisterBackwards(f"from {before_wh} Wh to {after_wh} Wh")
    return advance_wh


def intervals_between(before: Known, after: Known, *, length_s: int, roll_over_wh: int) -> list[Share]:
    """The intervals from one poll to the next: one actual, or k + 1 estimated ones where k boundaries were missed.

    Estimates follow the straight line between the two registers, in whole Wh, and sum exactly to the difference.
    Raises RegisterBackwards.
    """
    imported_wh = advance_of(before.import_wh, after.import_wh, roll_over_wh)
    exported_wh = advance_of(before.export_wh, after.export_wh, roll_over_wh)
    count = (after.boundary_s - before.boundary_s) // length_s
    return [
        Share(
            start_s=before.boundary_s + number * length_s,
            import_wh=imported_wh * (number + 1) // count - imported_wh * number // count,
            export_wh=exported_wh * (number + 1) // count - exported_wh * number // count,
            estimated=count > 1,
        )
        for number in range(count)
    ]
