"""Settings of a map: what a file may not state, and what survives."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meters.carriers.modbus.entries import Refusal, Setting
from meters.carriers.modbus.register_map import parse_register_map
from meters.carriers.modbus.settings import Settings
from meters.errors import ProfileError
from meters.vendors.registry import load_profile
from meters.vendors.wires import registers_of

MINE = """
write = 16
block = [
  { functions = [4], first = 0, count = 4 },
  { functions = [3], first = 0, count = 8, settings = true },
]
register = [{ address = 0, type = "float32", value = "voltage_l1_v" }]
setting = [{ name = "baud", address = 0, type = "uint16", default = 1, among = [1, 2] }]
"""
SDM630 = registers_of(load_profile("sdm630")).setting
NAMED = {each.name: each for each in SDM630}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("write = 16", "", "write: is the function for settings"),
        ("write = 16", "write = 5", "write"),
        ("settings = true", "settings = false", "baud at 0x0000: lies in no block"),
        ('address = 0, type = "uint16"', 'address = 8, type = "uint16"', "baud at 0x0008: lies in no block"),
        ("default = 1", "default = 3", "does not allow its default"),
        ("among = [1, 2]", "among = [1, 70000]", "a number that uint16 does not have"),
        ("among = [1, 2]", "among = [1, 1.5]", "a number that uint16 does not have"),
        ('name = "baud"', 'name = "Baud rate"', "name"),
        ("among = [1, 2]", 'least = 0, most = 247, role = "unit"', "an address of the line is 1 to 247"),
        ("among = [1, 2]", 'among = [1, 2], role = "reboot"', "role"),
    ],
)
def test_what_is_wrong_with_a_setting_is_said(old: str, new: str, message: str) -> None:
    assert old in MINE
    with pytest.raises(ProfileError) as raised:
        parse_register_map(MINE.replace(old, new), origin="mine")
    assert message in str(raised.value)


def test_an_address_of_the_line_is_a_whole_number() -> None:
    settings = Settings(SDM630, [1], ["AMI1"])
    settings.write(0, NAMED["password"], NAMED["password"].default, 0.0, 0.0)
    node = NAMED["network_node"]
    for number in (1.5, 246.999, math.nan, math.inf, 0.0, 248.0):
        assert settings.write(0, node, number, 1.0, 0.0) is Refusal.ILLEGAL_VALUE
    assert not settings.moved
    assert settings.write(0, node, 7.0, 1.0, 0.0) is None
    assert settings.shown(0, 2.0, 0.0)["network_node"] == 7.0


writes = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(SDM630), st.one_of(st.floats(), st.integers(0, 300).map(float))),
    max_size=30,
)


@given(writes, st.integers(0, 500))
def test_any_writes_leave_settings_that_the_document_allows_and_that_are_kept(
    written: list[tuple[int, Setting, float]], up_at_s: int
) -> None:
    def new() -> Settings:
        return Settings(SDM630, [1, 2, 3], ["AMI1", "AMI2", "AMI3"])

    settings = new()
    for second, (meter, setting, number) in enumerate(written):
        settings.write(meter, setting, number, float(second), 0.0)
    again = new()
    again.restore({meter: settings.of(meter) for meter in range(3)})
    for meter in range(3):
        shown = again.shown(meter, 1e4, float(up_at_s))
        kept = settings.shown(meter, 1e4, float(up_at_s))
        assert shown == kept
        assert 1 <= again.unit(meter, float(up_at_s)) == settings.unit(meter, float(up_at_s)) <= 247
        for name, number in shown.items():
            assert NAMED[name].role != "kept" or NAMED[name].allows(number)
