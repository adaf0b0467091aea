"""Register maps: what a TOML file states, and what registers say by it. Without sockets."""

import math
import struct
from collections.abc import Sequence
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headend.drivers import DecodeError, RegisterMap, driver_for
from headend.drivers.modbus import parse_driver
from headend.drivers.records import REGISTER_CHANNELS
from headend.drivers.register_map import Name
from headend.errors import DriverError
from headend.registry import ShippedDevice

SDM630 = driver_for("sdm630")
assert SDM630.modbus is not None
MAP = SDM630.modbus
ROLL_OVER_WH = 1_000_000_000


def block(**values: float) -> list[list[int]]:
    """The answer to an SDM630's one read, in which only the named registers are not zero: `r0x48=1.5`."""
    data = bytearray(MAP.blocks[0].count * 2)
    for name, value in values.items():
        struct.pack_into(">f", data, int(name[1:], 16) * 2, value)
    return [list(struct.unpack(f">{len(data) // 2}H", data))]


def a_map(value: dict[str, Any], **changed: Any) -> RegisterMap:
    """A map whose imported energy is `value` at register 10, and whose other values are single registers before."""
    values = {
        "active_power_w": {"address": 0, "type": "int16"},
        "export_register_wh": {"address": 1, "type": "uint16"},
        "import_register_wh": {"address": 10, **value},
    }
    stated = {"blocks": [{"function": 3, "first": 0, "count": 20}], "values": values, "roll_over_wh": 10**18}
    return RegisterMap.model_validate(stated | changed)


def answer(words: Sequence[int]) -> list[list[int]]:
    return [[0] * 10 + list(words) + [0] * (10 - len(words))]


@given(st.floats(0, 99_999, width=32), st.floats(0, 99_999, width=32), st.floats(-1e5, 1e5, width=32))
def test_energies_and_power_are_read_from_their_addresses(import_kwh: float, export_kwh: float, power_w: float) -> None:
    found = MAP.decode(block(r0x48=import_kwh, r0x4A=export_kwh, r0x34=power_w, r0x0=231.4, r0x2=229.96, r0x4=0.0))
    assert found.import_register_wh == round(import_kwh * 1000) % ROLL_OVER_WH
    assert found.export_register_wh == round(export_kwh * 1000) % ROLL_OVER_WH
    assert found.active_power_w == round(power_w)
    assert found.voltages_v == (231.4, 230.0, 0.0)


@given(
    st.floats(0, 99_999, width=32),
    st.floats(-1e5, 1e5, width=32),
    st.floats(0, 1e5, width=32),
    st.floats(-1, 1, width=32),
)
def test_what_a_meter_shows_of_its_phases_comes_by_name(kvarh: float, power: float, amps: float, factor: float) -> None:
    found = MAP.decode(block(r0x4C=kvarh, r0xE=power, r0x1C=power, r0xA=amps, r0x20=factor)).channels
    assert set(found) == set(REGISTER_CHANNELS)
    assert found["reactive_import_register_varh"] == round(kvarh * 1000) % ROLL_OVER_WH
    assert found["active_power_l2_w"] == found["reactive_power_l3_var"] == round(power)
    assert found["current_l3_a"] == round(amps, 3)
    assert found["power_factor_l2"] == round(factor, 3)
    assert found["reactive_export_register_varh"] == found["active_power_l1_w"] == 0


def test_names_of_a_map_are_those_that_registers_have() -> None:
    assert set(REGISTER_CHANNELS) <= set(get_args(Name))


def test_an_energy_that_is_rounded_up_to_the_roll_over_is_nothing() -> None:
    assert MAP.decode(block(r0x48=1_000_000.0)).import_register_wh == 0


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"r0x48": math.nan}, "imported energy at 0x0048 is nan, not from 0 to 1e"),
        ({"r0x4A": -1.0}, "exported energy at 0x004A is -1"),
        ({"r0x34": math.inf}, "active power at 0x0034 is inf"),
        ({"r0x2": 5000.0}, "voltage L2 at 0x0002 is 5000, not from 0 to 1000"),
        ({"r0x48": 3e6}, "imported energy"),
        ({"r0x4E": -1.0}, "reactive energy into the grid at 0x004E is -1"),
        ({"r0x8": -0.5}, "current L2 at 0x0008 is -0.5"),
        ({"r0x18": math.nan}, "reactive power L1 at 0x0018 is nan"),
        ({"r0x22": 1.5}, "power factor L3 at 0x0022 is 1.5, not from "),
    ],
)
def test_what_no_meter_shows_is_refused(values: dict[str, float], said: str) -> None:
    with pytest.raises(DecodeError, match=said) as error:
        MAP.decode(block(**values))
    assert error.value.reason == "bad_value"


def test_a_range_that_the_shipment_states_is_that_of_the_registers_too() -> None:
    device = ShippedDevice("A1", "own", "UP1", "test", "gw:502/1", wire="sdm630", register_range_wh=10**8)
    assert device.driver.modbus is not None
    assert device.driver.modbus.decode(block(r0x48=100_000.0)).import_register_wh == 0
    assert MAP.roll_over_wh == ROLL_OVER_WH


@given(st.lists(st.lists(st.integers(0, 0xFFFF), max_size=100), max_size=3))
def test_any_answer_is_decoded_or_refused(answers: list[list[int]]) -> None:
    try:
        found = MAP.decode(answers)
    except DecodeError:
        return
    assert 0 <= found.import_register_wh < ROLL_OVER_WH


SERIAL = {"function": 3, "address": 0xFC00, "type": "uint32", "expected": "serial"}
LETTERS = {"function": 4, "address": 0x5000, "type": "letters", "count": 7, "expected": "serial"}
TYPES = {"int16": 16, "uint16": 16, "int32": 32, "uint32": 32, "int64": 64, "uint64": 64}


@given(st.data(), st.sampled_from(sorted(TYPES)), st.booleans(), st.booleans())
def test_an_integer_is_read_whatever_the_order_of_its_words_and_bytes(
    data: st.DataObject, type_: str, words_swapped: bool, bytes_swapped: bool
) -> None:
    bits = TYPES[type_]
    value = data.draw(st.integers(0, 2 ** (bits - type_.startswith("int")) - 1))
    words = [value >> shift & 0xFFFF for shift in range(bits - 16, -1, -16)]
    if words_swapped:
        words.reverse()
    if bytes_swapped:
        words = [word >> 8 | (word & 0xFF) << 8 for word in words]
    order = ("big", "little")
    found = a_map(
        {"type": type_},
        values={
            "import_register_wh": {"address": 10, "type": type_},
            "export_register_wh": {"address": 1, "type": "uint16"},
            "active_power_w": {"address": 0, "type": "int16"},
        },
        # The largest are rounded up to 2**64, which would be nothing again.
        roll_over_wh=2**65,
        word_order=order[words_swapped],
        byte_order=order[bytes_swapped],
        identity={"function": 3, "address": 10, "type": type_, "expected": [value]},
    )
    found.identify(found.identity[0], words, "A1")
    # A float in between has 53 bits.
    assert found.decode(answer(words)).import_register_wh == pytest.approx(value, rel=1e-15)


@given(st.integers(-(2**31), 2**31 - 1), st.sampled_from([0.1, 1.0, 10.0]), st.sampled_from([1, -1]))
def test_scale_and_sign_make_the_quantity(shown: int, scale: float, sign: int) -> None:
    power = {"address": 10, "type": "int32", "scale": scale, "sign": sign}
    values = {
        "import_register_wh": {"address": 0, "type": "uint16"},
        "export_register_wh": {"address": 1, "type": "uint16"},
        "active_power_w": power,
    }
    found = a_map({}, values=values)
    words = struct.unpack(">2H", struct.pack(">i", shown))
    if abs(shown * scale) > 10_000_000:
        with pytest.raises(DecodeError, match="active power at 0x000A"):
            found.decode(answer(words))
    else:
        assert found.decode(answer(words)).active_power_w == round(shown * scale * sign)


@pytest.mark.parametrize("pattern", [0x7FFFFFFF, 0xFFFFFFFF, 0x80000000])
def test_what_is_not_available_is_no_energy_and_no_voltage(pattern: int) -> None:
    words = [pattern >> 16, pattern & 0xFFFF]
    sentinels = [0x7FFFFFFF, 0xFFFFFFFF, 0x80000000]
    with pytest.raises(DecodeError, match="imported energy at 0x000A is not available") as error:
        a_map({"type": "uint32", "unavailable": sentinels}).decode(answer(words))
    assert error.value.reason == "not_available"
    values = {
        "import_register_wh": {"address": 0, "type": "uint16"},
        "export_register_wh": {"address": 1, "type": "uint16"},
        "active_power_w": {"address": 2, "type": "int16"},
        "voltage_l1_v": {"address": 10, "type": "uint32", "scale": 0.1, "unavailable": sentinels},
    }
    found = a_map({}, values=values).decode(answer(words))
    assert all(math.isnan(voltage) for voltage in found.voltages_v), "one not available, two that it does not have"


@given(st.integers(0, 0xFFFF))
def test_a_device_of_another_kind_is_told(shown: int) -> None:
    found = a_map({"type": "uint16"}, identity={"function": 3, "address": 11, "expected": [341, 345]})
    (identity,) = found.identity
    assert (identity.block.first, identity.block.count) == (11, 1)
    if shown in (341, 345):
        found.identify(identity, [shown], "A1")
        return
    with pytest.raises(DecodeError, match=f"says {shown} at 0x000B, not 341 or 345") as error:
        found.identify(identity, [shown], "A1")
    assert error.value.reason == "wrong_identity"


@given(st.integers(0, 2**32 - 1), st.text(max_size=12), st.integers(0, 2**40))
def test_a_meter_shows_the_digits_of_its_serial_number(shown: int, letters: str, number: int) -> None:
    words = (shown >> 16, shown & 0xFFFF)
    letters = "".join(each for each in letters if not each.isdigit())
    found = a_map({"type": "uint16"}, identity=SERIAL)
    (identity,) = found.identity
    if shown == number % 2**32:
        found.identify(identity, words, f"{letters}{number:012d}")
    else:
        with pytest.raises(DecodeError, match="the device says"):
            found.identify(identity, words, f"{letters}{number:012d}")
    right = number % 2**32
    found.identify(identity, (right >> 16, right & 0xFFFF), f"{letters}{number:012d}")


@given(st.lists(st.integers(0, 0xFFFF), min_size=7, max_size=7), st.text("AB01", min_size=1, max_size=12))
def test_a_meter_spells_the_end_of_its_serial_number(words: list[int], serial: str) -> None:
    """Padded in front or behind; whatever a device says there is refused or right, and printable in the refusal."""
    found = a_map({"type": "uint16"}, identity=[LETTERS])
    (identity,) = found.identity
    assert (identity.block.first, identity.block.count) == (0x5000, 7)
    end = serial[-7:]
    for padded in (end.rjust(7, "\0"), end.ljust(7, "\0"), end.ljust(7)):
        found.identify(identity, [ord(each) for each in padded], serial)
    with pytest.raises(DecodeError, match="the device says") as error:
        found.identify(identity, [ord(each) for each in (end[:-1] + "x").ljust(7, "\0")], serial)
    assert error.value.reason == "wrong_identity"
    if "".join(chr(word & 0xFF) for word in words).strip("\0 ") != end:
        with pytest.raises(DecodeError, match="the device says") as other:
            found.identify(identity, words, serial)
        assert str(other.value).isprintable()


GOOD = """
vendor_profile = "acme"
source = "its manual"
interval_length_s = 900
max_current_a = 80.0
[registers]
roll_over_wh = 1_000_000
blocks = [{ function = 4, first = 0, count = 10 }]
[registers.values]
import_register_wh = { address = 0, type = "uint32" }
export_register_wh = { address = 2, type = "uint32" }
active_power_w = { address = 4, type = "int32" }
"""


def test_a_file_states_a_driver() -> None:
    driver = parse_driver(GOOD, origin="acme")
    assert (driver.vendor_profile, driver.interval_length_s, driver.register_range_wh) == ("acme", 900, 1_000_000)
    meter = driver.capabilities
    assert (meter.carrier, meter.needs_gateway, meter.keeps_load_profile) == ("modbus", True, False)
    assert driver.modbus is not None
    assert driver.modbus.decode([[0, 5, 0, 6, 0xFFFF, 0xFFFF, 0, 0, 0, 0]])[:3] == (5, 6, -1)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('"uint32" }\nactive', '"uint32" }\nreactive', ["registers.values.reactive_power_w"]),
        ("active_power_w = {", "voltage_l1_v = {", ["values.active_power_w is missing"]),
        (
            "count = 10",
            "count = 3",
            ["values.export_register_wh: its registers lie in no block", "values.active_power_w"],
        ),
        ("count = 10", "count = 126", ["registers.blocks.0.count"]),
        ("first = 0", "first = 0xFFFF", ["registers.blocks.0: ends beyond 0xFFFF"]),
        (
            "[registers.v",
            "identity = { function = 3, address = 0xFFFF, type = 'int32', expected = [1] }\n[registers.v",
            ["registers.identity.0: ends beyond 0xFFFF"],
        ),
        (
            "[registers.v",
            "identity = [{ function = 3, address = 1, type = 'letters', expected = 'serial' },"
            " { function = 3, address = 1, type = 'letters', count = 4, expected = [7] }]\n[registers.v",
            ["registers.identity.0: count is how many", "registers.identity.1: letters are"],
        ),
        ('"int32" }', '"int32", scale = inf }', ["registers.values.active_power_w.scale"]),
        ("= 80.0", "= inf", ["max_current_a"]),
        ("function = 4", "function = 16", ["registers.blocks.0.function"]),
        ('"int32"', '"int24"', ["registers.values.active_power_w.type"]),
        ("blocks = [", "blocks = [{ function = 3, first = 2, count = 2 }, ", ["export_register_wh: its registers lie"]),
        (
            "count = 10 }",
            "count = 2 }, { function = 4, first = 2, count = 8 }",
            ["another block than import_register_wh"],
        ),
        ("max_current_a = 80.0", "max_current = 80.0", ["max_current_a: Field required", "max_current: Extra"]),
        ('"acme"', "acme", ["not TOML"]),
    ],
)
def test_what_a_file_lacks_is_said_with_its_key(before: str, after: str, said: list[str]) -> None:
    assert before in GOOD
    with pytest.raises(DriverError) as error:
        parse_driver(GOOD.replace(before, after, 1), origin="acme.toml")
    assert str(error.value).startswith("acme.toml: ")
    assert all(part in str(error.value) for part in said), str(error.value)
