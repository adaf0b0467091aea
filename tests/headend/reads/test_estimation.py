"""Registers at boundaries to the intervals between: without sockets."""

from functools import partial

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from headend.drivers import Registers
from headend.reads.estimation import Implausible, advance_of, intervals_between
from headend.store.register_records import BoundaryReading

LENGTH_S = 900
ROLL_OVER_WH = 100_000_000
START_S = 1_768_435_200
registers_wh = st.integers(0, ROLL_OVER_WH - 1)
energies_wh = st.integers(0, 10_000_000)


def poll(boundary_s: int, import_wh: int, export_wh: int = 0) -> BoundaryReading:
    return BoundaryReading(boundary_s, boundary_s + 1.0, Registers(import_wh, export_wh, 0, (230.0, 230.0, 230.0)))


@given(registers_wh, registers_wh, energies_wh, energies_wh, st.integers(1, 200))
def test_intervals_sum_to_the_register_difference(
    import_wh: int, export_wh: int, imported_wh: int, exported_wh: int, count: int
) -> None:
    assume(max(import_wh + imported_wh, export_wh + exported_wh) < ROLL_OVER_WH)
    before = poll(START_S, import_wh, export_wh)
    after = poll(START_S + count * LENGTH_S, import_wh + imported_wh, export_wh + exported_wh)
    shares = intervals_between(before, after, length_s=LENGTH_S, roll_over_wh=ROLL_OVER_WH, most_wh=1e7)
    assert [share.start_s for share in shares] == [START_S + number * LENGTH_S for number in range(count)]
    assert sum(share.import_wh for share in shares) == imported_wh
    assert sum(share.export_wh for share in shares) == exported_wh
    assert all(share.estimated == (count > 1) for share in shares)
    for energies in ([s.import_wh for s in shares], [s.export_wh for s in shares]):
        assert max(energies) - min(energies) <= 1, "a straight line, in whole Wh"
        assert min(energies) >= 0


@given(st.integers(0, ROLL_OVER_WH // 10 - 1), st.integers(1, ROLL_OVER_WH // 10))
def test_a_register_rolls_over_from_near_its_top_only(left_wh: int, further_wh: int) -> None:
    after_wh = further_wh - 1
    advance = partial(advance_of, after_wh=after_wh, roll_over_wh=ROLL_OVER_WH, most_wh=1e9)
    assert advance(ROLL_OVER_WH - left_wh - 1) == left_wh + further_wh
    with pytest.raises(Implausible) as error:
        advance(ROLL_OVER_WH // 2 + left_wh)
    assert error.value.reason == "register_backwards"


@given(registers_wh, registers_wh, st.floats(0, 2e5))
def test_no_advance_is_more_than_the_meter_can_pass(before_wh: int, after_wh: int, most_wh: float) -> None:
    advance = partial(advance_of, before_wh, after_wh, roll_over_wh=ROLL_OVER_WH, most_wh=most_wh)
    possible = (after_wh - before_wh) % ROLL_OVER_WH <= most_wh
    if possible and (after_wh >= before_wh or before_wh >= 0.9 * ROLL_OVER_WH):
        assert (before_wh + advance()) % ROLL_OVER_WH == after_wh
        return
    with pytest.raises(Implausible) as error:
        advance()
    assert error.value.reason == ("register_backwards" if after_wh < before_wh else "register_jump")
