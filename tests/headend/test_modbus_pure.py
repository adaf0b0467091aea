"""Registers to values, and polls to intervals: without sockets."""

import math
import struct
from functools import partial

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from headend.drivers import DecodeError
from headend.links.modbus.estimation import Implausible, Poll, advance_of, intervals_between
from headend.links.modbus.sdm630 import REGISTERS, ROLL_OVER_WH, Registers, decode

LENGTH_S = 900
START_S = 1_768_435_200
registers_wh = st.integers(0, ROLL_OVER_WH - 1)
energies_wh = st.integers(0, 10_000_000)


def block(**values: float) -> list[int]:
    """76 registers in which only the named ones are not zero: `r0x48=1.5`."""
    data = bytearray(REGISTERS * 2)
    for name, value in values.items():
        struct.pack_into(">f", data, int(name[1:], 16) * 2, value)
    return list(struct.unpack(f">{REGISTERS}H", data))


def poll(boundary_s: int, import_wh: int, export_wh: int = 0) -> Poll:
    return Poll(boundary_s, boundary_s + 1.0, Registers(import_wh, export_wh, 0, (230.0, 230.0, 230.0)))


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


@given(st.floats(0, 99_999, width=32), st.floats(0, 99_999, width=32), st.floats(-1e5, 1e5, width=32))
def test_energies_and_power_are_read_from_their_addresses(import_kwh: float, export_kwh: float, power_w: float) -> None:
    found = decode(block(r0x48=import_kwh, r0x4A=export_kwh, r0x34=power_w, r0x0=231.4, r0x2=229.96, r0x4=0.0))
    assert found.import_wh == round(import_kwh * 1000) % ROLL_OVER_WH
    assert found.export_wh == round(export_kwh * 1000) % ROLL_OVER_WH
    assert found.active_power_w == round(power_w)
    assert found.voltages_v == (231.4, 230.0, 0.0)


def test_an_energy_that_is_rounded_up_to_the_roll_over_is_nothing() -> None:
    assert decode(block(r0x48=100_000.0)).import_wh == 0


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"r0x48": math.nan}, "imported energy at 0x0048 is nan"),
        ({"r0x4A": -1.0}, "exported energy at 0x004A is -1"),
        ({"r0x34": math.inf}, "active power at 0x0034 is inf"),
        ({"r0x2": 5000.0}, "voltage L2 at 0x0002 is 5000"),
        ({"r0x48": 3e6}, "imported energy"),
    ],
)
def test_what_no_meter_shows_is_refused(values: dict[str, float], said: str) -> None:
    with pytest.raises(DecodeError, match=said) as error:
        decode(block(**values))
    assert error.value.reason == "bad_value"


@given(st.lists(st.integers(0, 0xFFFF), max_size=100))
def test_any_block_is_decoded_or_refused(registers: list[int]) -> None:
    try:
        found = decode(registers)
    except DecodeError:
        return
    assert 0 <= found.import_wh < ROLL_OVER_WH
