"""What a register map is made of: blocks, values, settings, and numbers by which a device is known. Pure.

docs/drivers.md has the keys of the file.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import IntEnum
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from meters.device.quantities import QUANTITIES

LEAST_SCALE, MOST_SCALE = 1e-9, 1e9
"""From nano to giga: with another, what a meter shows is no number of a register's any more."""

_Word = Annotated[int, Field(ge=0, le=0xFFFF, strict=True)]
_Type = Literal["int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]
_CODES = {
    "int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "int64": "q", "uint64": "Q",
    "float32": "f", "float64": "d",
}  # fmt: skip


class Refusal(IntEnum):
    """Why a meter does not answer: the code of the exception (MODBUS Application Protocol V1.1b3, 7)."""

    ILLEGAL_FUNCTION = 1
    ILLEGAL_ADDRESS = 2
    ILLEGAL_VALUE = 3
    BUSY = 6
    """Too many writes at an instant."""
    TARGET_FAILED = 11
    """The gateway's own: the meter does not answer it."""


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Block(Part):
    """Registers `first` to `first + count`, exclusive, that these functions read."""

    functions: Annotated[tuple[Literal[3, 4], ...], Field(min_length=1)]
    first: _Word
    count: Annotated[int, Field(gt=0, le=0x10000, strict=True)]
    multiple: Annotated[int, Field(ge=1, le=4, strict=True)] = 1
    """Address and quantity of a request are multiples of this: such a meter gives no part of a value."""
    settings: bool = False
    """Whether these are holding registers: what no setting states reads as zero."""

    @property
    def end(self) -> int:
        return self.first + self.count


class Identity(Part):
    """Words that never change, for instance the model's number. `alone`: only who reads exactly these gets them."""

    address: _Word
    words: Annotated[tuple[_Word, ...], Field(min_length=1)]
    alone: bool = False

    @property
    def data(self) -> bytes:
        """As it is sent."""
        return struct.pack(f">{len(self.words)}H", *self.words)


class SerialLetters(Part):
    """The last `count` letters of the serial number, one in the low byte of each register from `address` on."""

    address: _Word
    count: Annotated[int, Field(ge=1, le=32, strict=True)]


class Encoded(Part):
    """A number in registers, and how it is written there."""

    address: _Word
    type: _Type

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

    @property
    def limits(self) -> tuple[int, int]:
        """The least and the most that such an integer can be."""
        bits = 8 * self.size
        return (-(1 << bits - 1), (1 << bits - 1) - 1) if self.type.startswith("int") else (0, (1 << bits) - 1)

    @cached_property
    def format(self) -> struct.Struct:
        """Most significant byte first."""
        return struct.Struct(f">{_CODES[self.type]}")


class Register(Encoded):
    """A value: what the meter shows is the number in the registers, times `scale`, in the unit of `value`.

    A negative scale turns the sign. Without a `value` the meter does not have it, and the register says so.
    """

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

    @cached_property
    def encode(self) -> Callable[[float | None], bytes]:
        """From what the meter shows, or None, to bytes, most significant first.

        An integer that does not fit is the nearest that does.
        """
        absent = (self.unavailable or 0).to_bytes(self.size, "big")
        scale, pack = self.scale, self.format.pack
        if self.is_float:
            return lambda value: absent if value is None else pack(value / scale)
        roll_over, (least, most) = self.roll_over, self.limits

        def whole(value: float | None) -> bytes:
            if value is None:
                return absent
            number = round(value / scale)
            return pack(min(max(number if roll_over is None else number % roll_over, least), most))

        return whole


class Setting(Encoded):
    """A holding register: a number that the meter keeps, and that a master may write.

    `least` and `most` are included; `among` lists the numbers instead. What is not `writable` the meter itself says.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    default: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    among: tuple[float, ...] = ()
    least: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    most: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    writable: bool = True
    protected: bool = False
    """Whether the meter is to be unlocked with its password first."""
    role: Literal[
        "kept", "unit", "demand_period_min", "demand_time_min", "serial", "letter", "password", "lock", "reset_demand"
    ] = "kept"
    """What the meter does with it, besides keeping it."""
    from_end: Annotated[int, Field(ge=0, le=32, strict=True)] = 0
    """Of a `letter` of the serial number: which one, counted from the last, which is 1."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        stated = (self.default, self.least, self.most, *self.among)
        least, most = self.limits
        if not self.is_float and any(not each.is_integer() or not least <= each <= most for each in stated):
            raise ValueError(f"{self.name}: a number that {self.type} does not have")
        if self.role == "kept" and self.writable and not self.allows(self.default):
            raise ValueError(f"{self.name}: does not allow its default")
        if (self.role == "letter") != (self.from_end > 0):
            raise ValueError(f"{self.name}: from_end is that of a letter")
        if self.role == "unit" and not 1 <= self.least <= self.most <= 247:
            raise ValueError(f"{self.name}: an address of the line is 1 to 247")
        return self

    def allows(self, number: float) -> bool:
        """Whether the meter takes this number."""
        if self.role == "unit" and not number.is_integer():
            return False
        return number in self.among if self.among else self.least <= number <= self.most

    def encode(self, number: float) -> bytes:
        """From its number to bytes, most significant first."""
        return self.format.pack(number if self.is_float else int(number))
