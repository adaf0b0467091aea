"""Whose is a row? Serial and usage point both name a meter; the shipment file says which belong together. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lab.verdict.keys import Int, codes_of, translate


@dataclass(frozen=True, slots=True)
class Owners:
    """`points` (n,): codes of usage points; those of the fleet come first, those of strangers after them.

    `conflicts` (n,): rows whose serial and usage point are both the fleet's, but of two different meters.
    """

    points: Int
    conflicts: NDArray[np.bool_]


def owners(table: pa.Table, fleet: pa.Table, known: dict[str, int]) -> Owners:
    """By the usage point where it is the fleet's, else by the serial. Strangers are added to `known`.

    A utility names usage points in its own way, so one that is not in the shipment file does not outvote a serial that
    is. Where both are the fleet's, but not of one meter, the reading is on the wrong account, and counts there.

    :param known: usage point → code, which begins with the fleet's, in its order.
    """
    metered = len(fleet)
    by_point = codes_of(table["usage_point"], known) if "usage_point" in table.column_names else None
    if "serial" not in table.column_names:
        assert by_point is not None, "the schema wants one of the two"
        return Owners(by_point, np.zeros(len(table), dtype=bool))
    of_serial = dict(
        zip(
            fleet["serial"].cast(pa.string()).to_pylist(),
            fleet["usage_point"].cast(pa.string()).to_pylist(),
            strict=True,
        )
    )
    by_serial = codes_of(translate(table["serial"], of_serial, unknown="unknown serial "), known)
    if by_point is None:
        return Owners(by_serial, np.zeros(len(table), dtype=bool))
    has_serial = (by_serial >= 0) & (by_serial < metered)
    has_point = (by_point >= 0) & (by_point < metered)
    by_either = np.where(has_serial | (by_point < 0), by_serial, by_point)
    return Owners(np.where(has_point, by_point, by_either), has_serial & has_point & (by_point != by_serial))
