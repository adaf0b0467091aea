"""A Modbus meter's register map: data that a TOML file states, and what a block of registers says by it. Sans-IO.

docs/drivers.md has the keys of the file. An answer that no such meter gives is a DecodeError.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from headend.drivers.records import PHASES, REACTIVE_REGISTERS, REGISTER_CHANNELS, DecodeError, Registers

Type = Literal["int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]
Order = Literal["big", "little"]
Name = Literal[
    "import_register_wh", "export_register_wh", "active_power_w", "voltage_l1_v", "voltage_l2_v", "voltage_l3_v",
    "reactive_import_register_varh", "reactive_export_register_varh",
    "active_power_l1_w", "active_power_l2_w", "active_power_l3_w",
    "reactive_power_l1_var", "reactive_power_l2_var", "reactive_power_l3_var",
    "current_l1_a", "current_l2_a", "current_l3_a", "power_factor_l1", "power_factor_l2", "power_factor_l3",
]  # fmt: skip
"""The last four lines are those of records.REGISTER_CHANNELS: what a meter may have beside."""

_CODES = {
    "int16": "h", "uint16": "H", "int32": "i", "uint32": "I",
    "int64": "q", "uint64": "Q", "float32": "f", "float64": "d",
}  # fmt: skip
_ENERGIES: tuple[Name, Name] = ("import_register_wh", "export_register_wh")
_VOLTAGES: tuple[Name, Name, Name] = ("voltage_l1_v", "voltage_l2_v", "voltage_l3_v")
_NEEDED: tuple[Name, ...] = (*_ENERGIES, "active_power_w")
#: Of one request (Modbus application protocol V1.1b3, 6.3).
MOST_REGISTERS = 125
_MOST_VOLTAGE_V = 1_000.0
_MOST_POWER_W = 10_000_000.0
_MOST_CURRENT_A = 100_000.0
_DECIMALS = 3
_MOST_FACTOR = 1.0004
_CHANNELS = frozenset(REGISTER_CHANNELS)
_STRUCTS = {type_: struct.Struct(f">{code}") for type_, code in _CODES.items()}
_Address = Annotated[int, Field(ge=0, le=0xFFFF)]


def _limits(name: str) -> tuple[float, float] | None:
    """What any meter can show, in the quantity's unit. None: as much as its registers hold."""
    if name in _ENERGIES or name in REACTIVE_REGISTERS:
        # A register of few digits may be rounded up to the roll-over, which is nothing.
        return None
    if name.startswith("power_factor"):
        # A float32 may show a little more than there can be.
        return -_MOST_FACTOR, _MOST_FACTOR
    if name.startswith("current"):
        return 0.0, _MOST_CURRENT_A
    return (-_MOST_POWER_W, _MOST_POWER_W) if "_power_" in name else (0.0, _MOST_VOLTAGE_V)


_LIMITS = {name: _limits(name) for name in get_args(Name)}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Block(_Part):
    """Registers that are read in one request: `count` from `first` on, by function code `function`."""

    first: _Address
    count: Annotated[int, Field(ge=1, le=MOST_REGISTERS)]
    function: Literal[3, 4]

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.first + self.count > 0x10000:
            raise ValueError("ends beyond 0xFFFF")
        return self

    def __contains__(self, value: "Value") -> bool:
        return self.first <= value.address and value.address + value.width <= self.first + self.count


class Value(_Part):
    """One quantity, its first register at `address`. What it shows × `scale` × `sign` is the quantity in its unit.

    `unavailable`: bit patterns that say "not available".
    """

    address: _Address
    type: Type
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    sign: Literal[1, -1] = 1
    unavailable: tuple[int, ...] = ()

    @property
    def width(self) -> int:
        """In registers."""
        return struct.calcsize(f">{_CODES[self.type]}") // 2


class Identity(_Part):
    """What such a meter is told from others by: it shows one of `expected`, or its own serial number.

    Of a serial number it shows the digits, as far as a number of this `type` holds them; or, as `letters`, the last
    `count` letters, one in the low byte of each register.
    """

    address: _Address
    type: Literal["int16", "uint16", "int32", "uint32", "int64", "uint64", "letters"] = "uint16"
    function: Literal[3, 4]
    expected: Annotated[tuple[int, ...], Field(min_length=1)] | Literal["serial"]
    count: Annotated[int, Field(ge=1, le=32)] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.type == "letters") != (self.count is not None):
            raise ValueError("count is how many registers `letters` have, and says nothing of a number")
        if self.type == "letters" and self.expected != "serial":
            raise ValueError('letters are those of the serial number: expected = "serial"')
        if self.address + self._width > 0x10000:
            raise ValueError("ends beyond 0xFFFF")
        return self

    def allowed(self, serial: str) -> tuple[int | str, ...]:
        """What a meter with this serial number may show."""
        if self.expected != "serial":
            return self.expected
        if self.type == "letters":
            return (serial[-self._width :],)
        digits = "".join(each for each in serial if each in "0123456789")
        return (int("0" + digits) % (1 << 16 * self._width),)

    @property
    def block(self) -> Block:
        """What is read for it: its own registers alone. Some meters show others there as part of a longer read."""
        return Block(first=self.address, count=self._width, function=self.function)

    @property
    def _width(self) -> int:
        return self.count or struct.calcsize(f">{_CODES[self.type]}") // 2


class RegisterMap(_Part):
    """The registers of a vendor's meter. `word_order`: "big" where the most significant word comes first.

    `byte_order` is that of the bytes in a word. Each value lies in exactly one block.
    """

    blocks: Annotated[tuple[Block, ...], Field(min_length=1)]
    values: Mapping[Name, Value]
    roll_over_wh: Annotated[int, Field(gt=0)]
    word_order: Order = "big"
    byte_order: Order = "big"
    identity: tuple[Identity, ...] = ()

    @field_validator("identity", mode="before")
    @classmethod
    def _listed(cls, stated: object) -> object:
        """One, or a list of them."""
        return (stated,) if isinstance(stated, Mapping) else stated

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        faults = [f"values.{name} is missing" for name in _NEEDED if name not in self.values]
        faults += [
            f"values.{name}: its registers lie in no block, or in more than one"
            for name, value in self.values.items()
            if sum(value in block for block in self.blocks) != 1
        ]
        if not faults and self._place("import_register_wh")[0] != self._place("export_register_wh")[0]:
            faults.append(
                "values.export_register_wh lies in another block than import_register_wh: one moment for both"
            )
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def identify(self, identity: Identity, registers: Sequence[int], serial: str) -> None:
        """Look at the answer for one of `identity`. Raises DecodeError (`wrong_identity`) for another device."""
        _check_length(identity.block, registers)
        found: int | str
        if identity.type == "letters":
            # What comes from a device ends up in a dead letter: as it is, and printable.
            found = "".join(chr(each & 0xFF) for each in registers).strip("\0 ")
        else:
            (found,) = _STRUCTS[identity.type].unpack(self._data(registers))
        allowed = identity.allowed(serial)
        if found not in allowed:
            said = found if isinstance(found, int) else ascii(found)
            right = " or ".join(map(str, allowed))
            raise DecodeError("wrong_identity", f"the device says {said} at 0x{identity.address:04X}, not {right}")

    def decode(self, answers: Sequence[Sequence[int]]) -> Registers:
        """What the answers to the requests for `blocks` say, in their order. Raises DecodeError."""
        if len(answers) != len(self.blocks):
            raise DecodeError("bad_structure", f"{len(answers)} blocks instead of {len(self.blocks)}")
        for block, registers in zip(self.blocks, answers, strict=True):
            _check_length(block, registers)
        imported_wh, exported_wh = (self._energy_wh(answers, name) for name in _ENERGIES)
        return Registers(
            import_register_wh=imported_wh,
            export_register_wh=exported_wh,
            active_power_w=round(self._needed(answers, "active_power_w")),
            voltages_v=tuple(self._voltage_v(answers, name) for name in _VOLTAGES),  # type: ignore[arg-type]  # three
            channels=self._channels(answers),
        )

    def _channels(self, answers: Sequence[Sequence[int]]) -> dict[str, int | float]:
        """What it shows of REGISTER_CHANNELS: energies and powers whole, the rest as fine as meters show it."""
        found: dict[str, int | float] = {}
        for name in self.values:
            if name in _CHANNELS and (quantity := self._quantity(answers, name)) is not None:
                if name in REACTIVE_REGISTERS:
                    found[name] = round(quantity) % self.roll_over_wh
                else:
                    found[name] = round(quantity) if "_power_" in name else round(quantity, _DECIMALS)
        return found

    def _energy_wh(self, answers: Sequence[Sequence[int]], name: Name) -> int:
        return round(self._needed(answers, name)) % self.roll_over_wh

    def _voltage_v(self, answers: Sequence[Sequence[int]], name: Name) -> float:
        found = self._quantity(answers, name) if name in self.values else None
        return math.nan if found is None else round(found, 1)

    def _needed(self, answers: Sequence[Sequence[int]], name: Name) -> float:
        found = self._quantity(answers, name)
        if found is None:
            raise DecodeError("not_available", f"{_said(name)} at 0x{self.values[name].address:04X} is not available")
        return found

    def _quantity(self, answers: Sequence[Sequence[int]], name: Name) -> float | None:
        """In its unit; None where the meter has none to show."""
        value = self.values[name]
        number, registers = self._places[name]
        data = self._data(answers[number][registers])
        if value.unavailable and int.from_bytes(data, "big") in value.unavailable:
            return None
        found: float = _STRUCTS[value.type].unpack(data)[0]
        least, most = _LIMITS.get(name) or (0.0, float(self.roll_over_wh))
        quantity = found * value.scale * value.sign
        # Also false of NaN.
        if not least <= quantity <= most:
            limits = " to ".join(
                f"{bound:g}" for bound in sorted(bound / value.scale * value.sign for bound in (least, most))
            )
            raise DecodeError("bad_value", f"{_said(name)} at 0x{value.address:04X} is {found:g}, not from {limits}")
        return quantity

    def _data(self, registers: Sequence[int]) -> bytes:
        """What registers show, the most significant byte first."""
        words = registers if self.word_order == "big" else registers[::-1]
        return struct.pack(f"{'>' if self.byte_order == 'big' else '<'}{len(words)}H", *words)

    @cached_property
    def _places(self) -> Mapping[Name, tuple[int, slice]]:
        """Of each value: the number of its block, and its registers there."""
        places = {}
        for name, value in self.values.items():
            number, begin = self._place(name)
            places[name] = (number, slice(begin, begin + value.width))
        return places

    def _place(self, name: Name) -> tuple[int, int]:
        """(number of its block, registers before it there)."""
        value = self.values[name]
        return next((n, value.address - block.first) for n, block in enumerate(self.blocks) if value in block)


def _check_length(block: Block, registers: Sequence[int]) -> None:
    if len(registers) != block.count:
        raise DecodeError("bad_structure", f"{len(registers)} registers instead of {block.count}")


def _said(name: str) -> str:
    """`voltage_l1_v` as one says it: voltage L1."""
    said = {
        "import_register_wh": "imported energy",
        "export_register_wh": "exported energy",
        "reactive_import_register_varh": "reactive energy from the grid",
        "reactive_export_register_varh": "reactive energy into the grid",
        **{f"power_factor_l{phase}": f"power factor L{phase}" for phase in PHASES},
    }
    return said.get(name) or name.rsplit("_", 1)[0].replace("_l", " L").replace("_", " ")
