"""A head-end that makes up one watt-hour in each estimated interval."""

from dataclasses import replace

from headend.reads import follow
from headend.reads.estimation import intervals_between
from headend.store.register_records import BoundaryReading, DerivedInterval
from lab.parts.headend import HeadPart
from lab.parts.process import run_part


def inventive(
    before: BoundaryReading, after: BoundaryReading, *, length_s: int, roll_over_wh: int, most_wh: float
) -> list[DerivedInterval]:
    shares = intervals_between(before, after, length_s=length_s, roll_over_wh=roll_over_wh, most_wh=most_wh)
    return [replace(share, import_wh=share.import_wh + 1) if share.estimated else share for share in shares]


if __name__ == "__main__":
    vars(follow)["intervals_between"] = inventive
    run_part("sabotage", lambda _name: HeadPart().handlers())
