"""Registers to values, and polls to intervals: without sockets."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headend.drivers import DecodeError
from headend.modbus.estimation import Known, RegisterBackwards, intervals_between
from headend.modbus.sdm630 import REGISTERS, ROLL_OVER_WH, decode

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


@given(registers_wh, registers_wh, energies_wh, energies_wh, st.integers(1, 200))
def test_intervals_sum_to_the_register_difference(
    import_wh: int, export_wh: int, imported_wh: int, exported_wh: int, count: int
) -> None:
    before = Known(START_S, import_wh, export_wh)
    after = Known(
        START_S + count * LENGTH_S, (import_wh + imported_wh) % ROLL_OVER_WH, (export_wh + exported_wh) % ROLL_OVER_WH
    )
    shares = intervals_between(before, after, length_s=LENGTH_S, roll_over_wh=ROLL_OVER_WH)
    assert [share.start_s for share in shares] == [START_S + number * LENGTH_S for number in range(count)]
    assert sum(share.import_wh for share in shares) == imported_wh
    assert sum(share.export_wh for share in shares) == exported_wh
    assert all(share.estimated == (count > 1) for share in shares)
    for energies in ([s.import_wh for s in shares], [s.export_wh for s in shares]):
        assert max(energies) - min(energies) <= 1, "a straight line, in whole Wh"
        assert min(energies) >= 0


def test_a_register_that_runs_backwards_gives_no_intervals() -> None:
    with pytest.raises(RegisterBackwards, match="from 5000 Wh to 10 Wh"):
        intervals_between(
            Known(START_S, 5000, 0), Known(START_S + LENGTH_S, 10, 0), length_s=LENGTH_S, roll_over_wh=ROLL_OVER_WH
        )


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
