"""Register maps as data: what a meter answers by them, read back by plain struct."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meters.carriers.modbus.entries import Refusal
from meters.carriers.modbus.register_map import RegisterMap, parse_register_map
from meters.device.curve import Display
from meters.device.facts import PolledFacts
from meters.device.quantities import QUANTITIES
from meters.errors import ProfileError
from meters.vendors.registry import known_profiles, load_profile
from meters.vendors.wires import registers_of

FORMATS = {
    "int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "int64": "q", "uint64": "Q", "float32": "f",
    "float64": "d",
}  # fmt: skip
SDM630 = {
    "voltage_l1_v": 0x0000, "voltage_l2_v": 0x0002, "voltage_l3_v": 0x0004, "current_l1_a": 0x0006,
    "current_l2_a": 0x0008, "current_l3_a": 0x000A, "active_power_l1_w": 0x000C, "active_power_l2_w": 0x000E,
    "active_power_l3_w": 0x0010, "apparent_power_l1_va": 0x0012, "apparent_power_l2_va": 0x0014,
    "apparent_power_l3_va": 0x0016, "reactive_power_l1_var": 0x0018, "reactive_power_l2_var": 0x001A,
    "reactive_power_l3_var": 0x001C, "power_factor_l1": 0x001E, "power_factor_l2": 0x0020, "power_factor_l3": 0x0022,
    "phase_angle_l1_deg": 0x0024, "phase_angle_l2_deg": 0x0026, "phase_angle_l3_deg": 0x0028, "voltage_v": 0x002A,
    "current_a": 0x002E, "current_sum_a": 0x0030, "active_power_w": 0x0034, "apparent_power_va": 0x0038,
    "reactive_power_var": 0x003C, "power_factor": 0x003E, "phase_angle_deg": 0x0042, "frequency_hz": 0x0046,
    "charge_ah": 0x0052, "demand_w": 0x0054, "max_demand_w": 0x0056, "import_demand_w": 0x0058,
    "max_import_demand_w": 0x005A, "export_demand_w": 0x005C, "max_export_demand_w": 0x005E, "demand_va": 0x0064,
    "max_demand_va": 0x0066, "neutral_demand_a": 0x0068, "max_neutral_demand_a": 0x006A, "voltage_l1_l2_v": 0x00C8,
    "voltage_l2_l3_v": 0x00CA, "voltage_l3_l1_v": 0x00CC, "voltage_ll_v": 0x00CE, "neutral_current_a": 0x00E0,
    "voltage_thd_l1_percent": 0x00EA, "voltage_thd_l2_percent": 0x00EC, "voltage_thd_l3_percent": 0x00EE,
    "current_thd_l1_percent": 0x00F0, "current_thd_l2_percent": 0x00F2, "current_thd_l3_percent": 0x00F4,
    "voltage_thd_percent": 0x00F8, "current_thd_percent": 0x00FA, "demand_l1_a": 0x0102, "demand_l2_a": 0x0104,
    "demand_l3_a": 0x0106, "max_demand_l1_a": 0x0108, "max_demand_l2_a": 0x010A, "max_demand_l3_a": 0x010C,
    "voltage_thd_l1_l2_percent": 0x014E, "voltage_thd_l2_l3_percent": 0x0150, "voltage_thd_l3_l1_percent": 0x0152,
    "voltage_thd_ll_percent": 0x0154,
}  # fmt: skip
SDM630_ENERGIES = {
    "import_wh": 0x0048, "export_wh": 0x004A, "reactive_import_varh": 0x004C, "reactive_export_varh": 0x004E,
    "apparent_vah": 0x0050, "total_wh": 0x0156, "reactive_total_varh": 0x0158, "import_l1_wh": 0x015A,
    "import_l2_wh": 0x015C, "import_l3_wh": 0x015E, "export_l1_wh": 0x0160, "export_l2_wh": 0x0162,
    "export_l3_wh": 0x0164, "total_l1_wh": 0x0166, "total_l2_wh": 0x0168, "total_l3_wh": 0x016A,
    "reactive_import_l1_varh": 0x016C, "reactive_import_l2_varh": 0x016E, "reactive_import_l3_varh": 0x0170,
    "reactive_export_l1_varh": 0x0172, "reactive_export_l2_varh": 0x0174, "reactive_export_l3_varh": 0x0176,
    "reactive_total_l1_varh": 0x0178, "reactive_total_l2_varh": 0x017A, "reactive_total_l3_varh": 0x017C,
}  # fmt: skip
"""Shown in kWh."""

EM340_LIKE = """
word_order = "little"
block = [{ functions = [3, 4], first = 0, count = 0x50 }]
register = [
  { address = 0x00, type = "int32", value = "voltage_l1_v", scale = 0.1 },
  { address = 0x0A, type = "int32", value = "voltage_l3_v", scale = 0.1 },
  { address = 0x28, type = "int32", value = "active_power_w", scale = 0.1 },
  { address = 0x31, type = "int16", value = "power_factor", scale = 0.001 },
  { address = 0x34, type = "int32", value = "import_wh", scale = 100 },
]
identity = [{ address = 0x0B, words = [341], alone = true }]
"""


def read(registers: RegisterMap, values: dict[str, float], address: int, count: int, function: int = 4) -> list[int]:
    assert registers.refusal(function, address, count) is None
    return list(struct.unpack(f">{count}H", registers.answer(values, function, address, count)))


def as_bytes(words: Sequence[int]) -> bytes:
    return struct.pack(f">{len(words)}H", *words)


@given(
    st.dictionaries(st.sampled_from(sorted(SDM630)), st.floats(-1e6, 1e6)),
    st.dictionaries(st.sampled_from(sorted(SDM630_ENERGIES)), st.integers(0, 200_000_000)),
)
def test_an_sdm630_is_a_file_and_answers_as_its_document_says(
    values: dict[str, float], energies_wh: dict[str, int]
) -> None:
    registers = registers_of(load_profile("sdm630"))
    block = b"".join(
        registers.answer(values | energies_wh, 4, first, min(80, 0x017E - first)) for first in range(0, 0x017E, 80)
    )
    expected = bytearray(2 * 0x017E)
    for name, value in values.items():
        struct.pack_into(">f", expected, 2 * SDM630[name], value)
        if name == "power_factor":
            struct.pack_into(">f", expected, 2 * 0x00FE, value)
    for name, energy_wh in energies_wh.items():
        struct.pack_into(">f", expected, 2 * SDM630_ENERGIES[name], energy_wh / 1000)
    assert block == bytes(expected)


@given(
    st.sampled_from(sorted(FORMATS)),
    st.sampled_from(["big", "little"]),
    st.sampled_from(["big", "little"]),
    st.sampled_from([1.0, 0.1, 0.001, 100.0, 1000.0, -1.0, -0.1]),
    st.floats(-1e12, 1e12),
)
def test_a_value_is_read_back_in_its_format_at_its_scale(
    kind: str, word_order: str, byte_order: str, scale: float, value: float
) -> None:
    registers = RegisterMap.model_validate(
        {
            "word_order": word_order,
            "byte_order": byte_order,
            "block": [{"functions": [3], "first": 100, "count": 10}],
            "register": [{"address": 102, "type": kind, "value": "active_power_w", "scale": scale}],
        }
    )
    size = struct.calcsize(f">{FORMATS[kind]}")
    words = read(registers, {"active_power_w": value}, 100, 10, function=3)
    assert words[:2] == [0, 0]
    assert words[2 + size // 2 :] == [0] * (8 - size // 2)
    own = words[2 : 2 + size // 2]
    data = struct.pack(
        f"{'>' if byte_order == 'big' else '<'}{len(own)}H", *(own if word_order == "big" else own[::-1])
    )
    (number,) = struct.unpack(f">{FORMATS[kind]}", data)
    wanted = value / scale
    if kind.startswith("float"):
        assert number == struct.unpack(f">{FORMATS[kind]}", struct.pack(f">{FORMATS[kind]}", wanted))[0]
        return
    least, most = (0, 256**size - 1) if kind.startswith("u") else (-(256**size) // 2, 256**size // 2 - 1)
    # The nearest that the register can show.
    assert number == min(max(round(wanted), least), most)


def test_a_model_number_that_is_read_alone_stands_where_a_block_has_a_voltage() -> None:
    registers = parse_register_map(EM340_LIKE, origin="mine")
    values = {"voltage_l1_v": 231.44, "voltage_l3_v": 229.0, "active_power_w": -70_000.0, "import_wh": 1_234_500}
    assert read(registers, values, 0x0B, 1) == [341]
    assert read(registers, values, 0x0B, 1, function=3) == [341]
    assert read(registers, values, 0x0A, 2) == [2290, 0]
    assert read(registers, values, 0x0B, 2) == [0, 0]
    # Least significant word first.
    assert read(registers, values, 0x28, 2) == [(-700_000) & 0xFFFF, (-700_000 >> 16) & 0xFFFF]
    assert read(registers, values, 0x34, 2) == [12_345, 0]
    assert read(registers, values, 0x00, 2) == [2314, 0]


def test_what_the_meter_does_not_have_says_so_and_what_does_not_fit_is_the_nearest() -> None:
    text = """
    block = [{ functions = [3], first = 0, count = 8 }]
    register = [
      { address = 0, type = "uint32", unavailable = 0xFFFFFFFF },
      { address = 2, type = "int16", value = "power_factor", unavailable = 0x8000 },
      { address = 3, type = "int16", value = "active_power_w" },
      { address = 4, type = "uint32", value = "import_wh", roll_over = 1000 },
    ]
    """
    registers = parse_register_map(text, origin="mine")
    assert read(registers, {}, 0, 3, function=3) == [0xFFFF, 0xFFFF, 0x8000]
    assert read(registers, {"active_power_w": 40_000.0}, 3, 1, function=3) == [0x7FFF]
    assert read(registers, {"import_wh": 12_345}, 4, 2, function=3) == [0, 345]


@given(st.integers(0, 0x7F), st.integers(0, 0x200), st.integers(0, 200))
def test_every_request_is_answered_in_full_or_refused(function: int, address: int, count: int) -> None:
    registers = parse_register_map(EM340_LIKE, origin="mine")
    refusal = registers.refusal(function, address, count)
    if function not in (3, 4):
        assert refusal is Refusal.ILLEGAL_FUNCTION
    elif not 0 < count <= 125:
        assert refusal is Refusal.ILLEGAL_VALUE
    elif address + count > 0x50:
        assert refusal is Refusal.ILLEGAL_ADDRESS
    else:
        assert len(registers.answer({}, function, address, count)) == 2 * count


def test_blocks_of_different_functions_show_different_registers() -> None:
    text = """
    block = [{ functions = [3], first = 0, count = 4 }, { functions = [4], first = 0x5B00, count = 2 }]
    register = [
      { address = 0, type = "uint16", value = "voltage_l1_v" },
      { address = 0x5B00, type = "uint32", value = "voltage_l1_v", scale = 0.1 },
    ]
    """
    registers = parse_register_map(text, origin="mine")
    assert read(registers, {"voltage_l1_v": 230.0}, 0, 1, function=3) == [230]
    assert read(registers, {"voltage_l1_v": 230.0}, 0x5B00, 2, function=4) == [0, 2300]
    assert registers.refusal(4, 0, 1) is Refusal.ILLEGAL_ADDRESS
    assert registers.refusal(3, 0x5B00, 1) is Refusal.ILLEGAL_ADDRESS


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"voltage_l1_v"', '"volts"', "a meter does not show 'volts'"),
        ("address = 0x0A", "address = 0x01", "voltage_l3_v at 0x0001: overlaps voltage_l1_v at 0x0000"),
        ("address = 0x34", "address = 0x4F", "import_wh at 0x004f: lies in no block"),
        ('type = "int16"', 'type = "int17"', "register.3.type"),
        ("scale = 100", "scale = 0", "is zero"),
        ("scale = 100", "scale = 1e-30", "is zero, or closer to it than 1e-09"),
        ("scale = 100", "scale = nan", "scale: Input should be a finite number"),
        ("scale = 100", "scale = -inf", "scale: Input should be"),
        ("scale = 100 }", "scale = 100, roll_over = 1" + "0" * 400 + " }", "roll_over"),
        ("scale = 100", "scale = 1" + "0" * 5000, "not TOML"),
        ("functions = [3, 4]", "functions = [6]", "block.0.functions"),
        ('word_order = "little"', 'word_order = "middle"', "word_order"),
        ("count = 0x50", "count = 0x20000", "block.0.count"),
        ("words = [341]", "words = [70000]", "identity.0.words"),
        ("scale = 100 }", "scale = 100, unavailable = 0x1FFFFFFFF }", "unavailable has more bits than int32"),
    ],
)
def test_what_is_wrong_with_a_map_is_said_with_its_place(old: str, new: str, message: str) -> None:
    assert old in EM340_LIKE
    with pytest.raises(ProfileError) as raised:
        parse_register_map(EM340_LIKE.replace(old, new), origin="mine")
    assert str(raised.value).startswith("mine: ")
    assert message in str(raised.value)


def test_a_map_that_contradicts_the_meters_facts_is_refused() -> None:
    registers = parse_register_map(EM340_LIKE.replace("scale = 100 ", "scale = 100, roll_over = 10 "), origin="mine")
    faults = registers.faults(counting_step_wh=1, register_roll_over_wh=10_000)
    assert any("steps of 100 Wh are coarser than counting_step_wh" in fault for fault in faults)
    assert any("rolls over at another energy than register_roll_over_wh" in fault for fault in faults)
    assert registers.faults(counting_step_wh=100, register_roll_over_wh=1000) == []


POLLED = [name for name in known_profiles() if load_profile(name).capabilities.needs_gateway]


@pytest.mark.parametrize("name", POLLED)
def test_every_map_of_the_package_shows_what_a_reader_needs(name: str) -> None:
    registers = registers_of(load_profile(name))
    shown = {register.value for register in registers.register_}
    assert {"import_wh", "export_wh", "active_power_w", "voltage_l1_v"} <= shown <= {*QUANTITIES, None}


@pytest.mark.parametrize("name", POLLED)
@given(counted_wh=st.floats(0, 3e10))
def test_the_journal_has_what_a_reader_makes_of_the_registers(name: str, counted_wh: float) -> None:
    profile = load_profile(name)
    facts, registers = cast(PolledFacts, profile.facts), registers_of(profile)
    display = Display(facts.counting_step_wh, facts.register_roll_over_wh, registers.float32_unit_wh)
    counted = np.array([counted_wh])
    shown = {"import_wh": float(display.digits(counted)[0])}
    (register,) = (each for each in registers.register_ if each.value == "import_wh")
    function = registers.block[0].functions[0]
    data = registers.answer(shown, function, register.address, register.words)
    words = struct.unpack(f">{register.words}H", data)
    (number,) = struct.unpack(
        f">{FORMATS[register.type]}", as_bytes(words if registers.word_order == "big" else words[::-1])
    )
    assert display.shown(counted)[0] == round(number * register.scale) % facts.register_roll_over_wh
    # What it is more than the display has is full turns.
    turns, rest = divmod(int(display.unrolled(counted)[0] - display.shown(counted)[0]), facts.register_roll_over_wh)
    assert rest == 0
    assert abs(turns * facts.register_roll_over_wh + display.shown(counted)[0] - counted_wh) <= facts.register_step_wh
