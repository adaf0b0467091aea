"""A meter's Modbus registers as data, and what the meter answers from them. Pure.

The map is a TOML file in the vendor's folder (docs/add-a-meter.md): blocks of registers that can be read, and what
stands in them. What no entry of a block names reads as zero, since clients read in blocks.
"""

from __future__ import annotations

import struct
import tomllib
from collections.abc import Callable, Mapping
from enum import IntEnum
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from meters.device.quantities import QUANTITIES, REGISTER_NAMES
from meters.errors import ProfileError

MOST_REGISTERS_IN_A_READ = 125
"""MODBUS Application Protocol V1.1b3, 6.3 and 6.4."""
LEAST_SCALE, MOST_SCALE = 1e-9, 1e9
"""From nano to giga: with another, what a meter shows is no number of a register's any more."""

_Word = Annotated[int, Field(ge=0, le=0xFFFF, strict=True)]
_Type = Literal["int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]
_Order = Literal["big", "little"]
_CODES = {
    "int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "int64": "q", "uint64": "Q",
    "float32": "f", "float64": "d",
}  # fmt: skip

Image = list[bytes]
"""The registers of each block of a map, as they are sent, at one instant."""


class Refusal(IntEnum):
    """Why a meter does not answer: the code of the exception (MODBUS Application Protocol V1.1b3, 7)."""

    ILLEGAL_FUNCTION = 1
    ILLEGAL_ADDRESS = 2
    ILLEGAL_VALUE = 3
    TARGET_FAILED = 11
    """The gateway's own: the meter does not answer it."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Block(_Part):
    """Registers `first` to `first + count`, exclusive, that these functions read."""

    functions: Annotated[tuple[Literal[3, 4], ...], Field(min_length=1)]
    first: _Word
    count: Annotated[int, Field(gt=0, le=0x10000, strict=True)]
    multiple: Annotated[int, Field(ge=1, le=4, strict=True)] = 1
    """Address and quantity of a request are multiples of this: such a meter gives no part of a value."""

    @property
    def end(self) -> int:
        return self.first + self.count


class Identity(_Part):
    """Words that never change, for instance the model's number. `alone`: only who reads exactly these gets them."""

    address: _Word
    words: Annotated[tuple[_Word, ...], Field(min_length=1)]
    alone: bool = False

    @property
    def data(self) -> bytes:
        """As it is sent."""
        return struct.pack(f">{len(self.words)}H", *self.words)


class Register(_Part):
    """A value: what the meter shows is the number in the registers, times `scale`, in the unit of `value`.

    A negative scale turns the sign. Without a `value` the meter does not have it, and the register says so.
    """

    address: _Word
    type: _Type
    value: str | None = None
    scale: Annotated[float, Field(ge=-MOST_SCALE, le=MOST_SCALE, allow_inf_nan=False)] = 1.0
    unavailable: Annotated[int, Field(ge=0, strict=True)] | None = None
    """The bits that stand for "not available"."""
    roll_over: Annotated[int, Field(gt=0, le=1 << 64, strict=True)] | None = None
    """The number in the registers never reaches this: it goes on from 0."""

    @field_validator("value")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None and value not in QUANTITIES:
            raise ValueError(f"a meter does not show {value!r}; it shows {', '.join(QUANTITIES)}")
        return value

    @field_validator("scale")
    @classmethod
    def _divides(cls, scale: float) -> float:
        if abs(scale) < LEAST_SCALE:
            raise ValueError(f"is zero, or closer to it than {LEAST_SCALE:g}")
        return scale

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.value is None and self.unavailable is None:
            raise ValueError("has neither a value nor what stands for its absence")
        if self.unavailable is not None and self.unavailable >> (8 * self.size):
            raise ValueError(f"unavailable has more bits than {self.type}")
        if self.roll_over is not None and self.is_float:
            raise ValueError("roll_over: a floating-point register rolls over with the meter, as its facts say")
        return self

    @property
    def is_float(self) -> bool:
        return self.type.startswith("float")

    @property
    def size(self) -> int:
        """In bytes."""
        return struct.calcsize(f">{_CODES[self.type]}")

    @property
    def words(self) -> int:
        return self.size // 2

    @cached_property
    def encode(self) -> Callable[[float | None], bytes]:
        """From what the meter shows, or None, to bytes, most significant first.

        An integer that does not fit is the nearest that does.
        """
        absent = (self.unavailable or 0).to_bytes(self.size, "big")
        scale, pack = self.scale, struct.Struct(f">{_CODES[self.type]}").pack
        if self.is_float:
            return lambda value: absent if value is None else pack(value / scale)
        bits, roll_over = 8 * self.size, self.roll_over
        least, most = (-(1 << bits - 1), (1 << bits - 1) - 1) if self.type.startswith("int") else (0, (1 << bits) - 1)

        def whole(value: float | None) -> bytes:
            if value is None:
                return absent
            number = round(value / scale)
            return pack(min(max(number if roll_over is None else number % roll_over, least), most))

        return whole


class RegisterMap(_Part):
    """`word_order`: "big" where the most significant word comes first; `byte_order` is that within a word."""

    byte_order: _Order = "big"
    word_order: _Order = "big"
    read_limit: Annotated[int, Field(gt=0, le=MOST_REGISTERS_IN_A_READ, strict=True)] = MOST_REGISTERS_IN_A_READ
    block: Annotated[tuple[Block, ...], Field(min_length=1)]
    register_: Annotated[tuple[Register, ...], Field(alias="register", min_length=1)]
    identity: tuple[Identity, ...] = ()
    diagnostics: bool = False
    """Whether function 8 returns the request (sub-function 0)."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        faults = [f"block at {block.first:#06x}: ends beyond 0xffff" for block in self.block if block.end > 0x10000]
        for number, block in enumerate(self.block):
            faults += [
                f"block at {block.first:#06x}: overlaps that at {other.first:#06x}"
                for other in self.block[:number]
                if block.first < other.end and other.first < block.end and {*block.functions} & {*other.functions}
            ]
        taken: dict[int, str] = {}
        entries = [(entry.address, entry.words, entry.value or "unavailable") for entry in self.register_]
        entries += [(each.address, len(each.words), "identity") for each in self.identity if not each.alone]
        for address, words, name in entries:
            if not any(block.first <= address and address + words <= block.end for block in self.block):
                faults.append(f"{name} at {address:#06x}: lies in no block")
            if other := next((taken[at] for at in range(address, address + words) if at in taken), None):
                faults.append(f"{name} at {address:#06x}: overlaps {other}")
            taken |= dict.fromkeys(range(address, address + words), f"{name} at {address:#06x}")
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @cached_property
    def functions(self) -> frozenset[int]:
        """The function codes that it answers with more than an exception."""
        return frozenset(function for block in self.block for function in block.functions) | (
            {8} if self.diagnostics else set()
        )

    @property
    def float32_unit_wh(self) -> float:
        """How many Wh the unit of the imported energy is, if that is a float32; else 0."""
        return next((abs(r.scale) for r in self.register_ if r.value == "import_wh" and r.type == "float32"), 0.0)

    def step_of(self, value: str) -> float:
        """What the last digit of a value is worth; 0 if there are no steps, or no such register."""
        return next((abs(r.scale) for r in self.register_ if r.value == value and not r.is_float), 0.0)

    def faults(self, *, counting_step_wh: float, register_roll_over_wh: int) -> list[str]:
        """What contradicts the facts of the meter."""
        faults = []
        for register in self.register_:
            if register.value not in REGISTER_NAMES:
                continue
            scale = abs(register.scale)
            if not register.is_float and not (counting_step_wh / scale).is_integer():
                faults.append(f"{register.value}: steps of {scale:g} Wh are coarser than counting_step_wh")
            if register.roll_over is not None and register.roll_over * scale != register_roll_over_wh:
                faults.append(f"{register.value}: rolls over at another energy than register_roll_over_wh")
        return faults

    def image(self, values: Mapping[str, float]) -> Image:
        """All words of a meter that shows `values` (names of QUANTITIES). Values it does not show are unavailable."""
        blocks = [bytearray(2 * block.count) for block in self.block]
        for value, encode, places in self._places:
            data = encode(values.get(value))
            if self._reordered:
                data = self._as_sent(data)
            for number, at in places:
                blocks[number][at : at + len(data)] = data
        for identity in self.identity:
            if not identity.alone:
                for number, at in self._within(identity.address):
                    blocks[number][2 * at : 2 * (at + len(identity.words))] = identity.data
        return [bytes(block) for block in blocks]

    def refusal(self, function: int, address: int, count: int) -> Refusal | None:
        """Why a meter does not answer a request; None: it does."""
        if not any(function in block.functions for block in self.block):
            return Refusal.ILLEGAL_FUNCTION
        if not 0 < count <= self.read_limit:
            return Refusal.ILLEGAL_VALUE
        if self._identity(address, count) is None and self._block(function, address, count) is None:
            return Refusal.ILLEGAL_ADDRESS
        return None

    def answer(self, image: Image, function: int, address: int, count: int) -> bytes:
        """What a meter with this `image` answers to a request that is not refused: its registers, as they are sent."""
        identity = self._identity(address, count)
        if identity is not None:
            return identity.data
        number = self._block(function, address, count)
        assert number is not None, "the request is refused"
        begins = 2 * (address - self.block[number].first)
        return image[number][begins : begins + 2 * count]

    def _identity(self, address: int, count: int) -> Identity | None:
        alone = (each for each in self.identity if each.alone)
        return next((each for each in alone if (address, count) == (each.address, len(each.words))), None)

    def _block(self, function: int, address: int, count: int) -> int | None:
        for number, block in enumerate(self.block):
            if function in block.functions and block.first <= address and address + count <= block.end:
                return None if address % block.multiple or count % block.multiple else number
        return None

    @cached_property
    def _places(self) -> list[tuple[str, Callable[[float | None], bytes], list[tuple[int, int]]]]:
        """Of each register: its value, its encoder, and in which blocks, and at which byte there, it is."""
        return [
            (register.value or "", register.encode, [(number, 2 * at) for number, at in self._within(register.address)])
            for register in self.register_
        ]

    @cached_property
    def _reordered(self) -> bool:
        return (self.byte_order, self.word_order) != ("big", "big")

    def _within(self, address: int) -> list[tuple[int, int]]:
        """In which blocks, and where there, an address is."""
        return [
            (number, address - block.first)
            for number, block in enumerate(self.block)
            if block.first <= address < block.end
        ]

    def _as_sent(self, data: bytes) -> bytes:
        """Bytes that have the most significant first, in the orders of the map."""
        if self.byte_order == "little":
            data = b"".join(data[at : at + 2][::-1] for at in range(0, len(data), 2))
        if self.word_order == "little":
            data = b"".join(data[at : at + 2] for at in reversed(range(0, len(data), 2)))
        return data


def parse_register_map(text: str, *, origin: str) -> RegisterMap:
    """Raises ProfileError with every fault, each with the key that it concerns."""
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # Not only a TOMLDecodeError: a number of more than 4,300 digits is a plain ValueError.
        raise ProfileError(f"{origin}: not TOML: {error}") from error
    try:
        return RegisterMap.model_validate(document)
    except ValidationError as error:
        faults = [f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in error.errors()]
        raise ProfileError(f"{origin}: " + "; ".join(faults)) from error
