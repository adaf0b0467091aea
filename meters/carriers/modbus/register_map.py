"""A meter's Modbus registers as data, and what the meter answers from them. Pure.

The map is a TOML file in the vendor's folder (docs/add-a-meter.md): blocks of registers that can be read, and what
stands in them. What no entry of a block names reads as zero, since clients read in blocks.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, ValidationError, model_validator

from meters.carriers.modbus.entries import Block, Identity, Part, Refusal, Register, SerialLetters, Setting
from meters.device.quantities import REGISTER_NAMES
from meters.errors import ProfileError, faults_of

MOST_REGISTERS_IN_A_READ = 125
"""MODBUS Application Protocol V1.1b3, 6.3 and 6.4."""
_MOST_PLANS = 256

_Order = Literal["big", "little"]


class RegisterMap(Part):
    """`word_order`: "big" where the most significant word comes first; `byte_order` is that within a word."""

    byte_order: _Order = "big"
    word_order: _Order = "big"
    read_limit: Annotated[int, Field(gt=0, le=MOST_REGISTERS_IN_A_READ, strict=True)] = MOST_REGISTERS_IN_A_READ
    block: Annotated[tuple[Block, ...], Field(min_length=1)]
    register_: Annotated[tuple[Register, ...], Field(alias="register", min_length=1)]
    identity: tuple[Identity, ...] = ()
    diagnostics: bool = False
    """Whether function 8 returns the request (sub-function 0)."""
    write: Literal[6, 16] | None = None
    """The function that writes a setting."""
    setting: tuple[Setting, ...] = ()
    serial_letters: SerialLetters | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        faults = [f"block at {block.first:#06x}: ends beyond 0xffff" for block in self.block if block.end > 0x10000]
        for number, block in enumerate(self.block):
            faults += [
                f"block at {block.first:#06x}: overlaps that at {other.first:#06x}"
                for other in self.block[:number]
                if block.first < other.end and other.first < block.end and {*block.functions} & {*other.functions}
            ]
        values = [(entry.address, entry.words, entry.value or "unavailable") for entry in self.register_]
        values += [(each.address, len(each.words), "identity") for each in self.identity if not each.alone]
        faults += self._misplaced(values, self._blocks_of_values)
        settings = [(each.address, each.words, each.name) for each in self.settings]
        faults += self._misplaced(settings, self._blocks_of_settings)
        if self.settings and not self._blocks_of_settings:
            faults.append("setting: no block says `settings = true`")
        if any(each.writable for each in self.setting) != (self.write is not None):
            faults.append("write: is the function for settings, and there are none to be written, or no function")
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @cached_property
    def settings(self) -> tuple[Setting, ...]:
        """All that stands in holding registers: what a master may write, and what the meter says of itself."""
        of_serial = self.serial_letters
        if of_serial is None:
            return self.setting
        letters = (
            Setting(
                name=f"serial_letter_{at + 1}",
                address=of_serial.address + at,
                type="uint16",
                writable=False,
                role="letter",
                from_end=of_serial.count - at,
            )
            for at in range(of_serial.count)
        )
        return (*self.setting, *letters)

    @property
    def _blocks_of_values(self) -> list[Block]:
        return [block for block in self.block if not block.settings]

    @property
    def _blocks_of_settings(self) -> list[Block]:
        return [block for block in self.block if block.settings]

    @staticmethod
    def _misplaced(entries: Sequence[tuple[int, int, str]], blocks: Sequence[Block]) -> list[str]:
        """What is wrong with the places of (address, words, name) in `blocks`."""
        faults = []
        taken: dict[int, str] = {}
        for address, words, name in entries:
            if not any(block.first <= address and address + words <= block.end for block in blocks):
                faults.append(f"{name} at {address:#06x}: lies in no block")
            if other := next((taken[at] for at in range(address, address + words) if at in taken), None):
                faults.append(f"{name} at {address:#06x}: overlaps {other}")
            taken |= dict.fromkeys(range(address, address + words), f"{name} at {address:#06x}")
        return faults

    @cached_property
    def functions(self) -> frozenset[int]:
        """The function codes that it answers with more than an exception."""
        reads = {function for block in self.block for function in block.functions}
        return frozenset(reads | ({8} if self.diagnostics else set()) | ({self.write} if self.write else set()))

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

    def refusal(self, function: int, address: int, count: int) -> Refusal | None:
        """Why a meter does not answer a request; None: it does."""
        if not any(function in block.functions for block in self.block):
            return Refusal.ILLEGAL_FUNCTION
        if not 0 < count <= self.read_limit:
            return Refusal.ILLEGAL_VALUE
        if self._identity(address, count) is None and self._block(function, address, count) is None:
            return Refusal.ILLEGAL_ADDRESS
        return None

    def answer(self, values: Mapping[str, float], function: int, address: int, count: int) -> bytes:
        """The registers, as they are sent, of a request that is not refused, by a meter that shows `values`.

        They have names of QUANTITIES and of settings. What a meter does not show is unavailable.
        """
        plan = self._plans.get((function, address, count))
        if plan is None:
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            plan = self._plans[function, address, count] = self._plan(function, address, count)
        data = bytearray(plan.empty)
        for name, encode, begin, end, part in plan.parts:
            data[begin:end] = encode(values.get(name))[part]
        return bytes(data)

    @cached_property
    def _plans(self) -> dict[tuple[int, int, int], _Plan]:
        return {}

    def _plan(self, function: int, address: int, count: int) -> _Plan:
        identity = self._identity(address, count)
        if identity is not None:
            return _Plan(identity.data, [])
        number = self._block(function, address, count)
        assert number is not None, "the request is refused"
        empty, parts = bytearray(2 * count), []
        if not self.block[number].settings:
            for each in self.identity:
                if not each.alone:
                    _place(empty, address, each.address, each.data)
        for entry, name in self._entries(settings=self.block[number].settings):
            begin, end = max(entry.address, address), min(entry.address + entry.words, address + count)
            if begin < end:
                part = slice(2 * (begin - entry.address), 2 * (end - entry.address))
                parts.append((name, self._sent(entry), 2 * (begin - address), 2 * (end - address), part))
        return _Plan(bytes(empty), parts)

    def _entries(self, *, settings: bool) -> list[tuple[Register | Setting, str]]:
        if settings:
            return [(each, each.name) for each in self.settings]
        return [(each, each.value or "") for each in self.register_]

    def _sent(self, entry: Register | Setting) -> Callable[[float | None], bytes]:
        """From a value to bytes in the orders of the map."""
        encode: Callable[[float | None], bytes]
        if isinstance(entry, Setting):
            encode = partial(_of_setting, entry)
        else:
            encode = entry.encode
        if (self.byte_order, self.word_order) == ("big", "big"):
            return encode
        return lambda value: self.ordered(encode(value))

    def are_settings(self, function: int, address: int, count: int) -> bool:
        """Whether a request that is not refused reads holding registers."""
        number = self._block(function, address, count)
        return number is not None and self.block[number].settings

    def setting_at(self, address: int) -> Setting | None:
        """The setting whose first register is at `address`."""
        return next((each for each in self.setting if each.address == address), None)

    def _identity(self, address: int, count: int) -> Identity | None:
        alone = (each for each in self.identity if each.alone)
        return next((each for each in alone if (address, count) == (each.address, len(each.words))), None)

    def _block(self, function: int, address: int, count: int) -> int | None:
        for number, block in enumerate(self.block):
            if function in block.functions and block.first <= address and address + count <= block.end:
                return None if address % block.multiple or count % block.multiple else number
        return None

    def ordered(self, data: bytes) -> bytes:
        """Bytes that have the most significant first, in the orders of the map; and back."""
        if self.byte_order == "little":
            data = b"".join(data[at : at + 2][::-1] for at in range(0, len(data), 2))
        if self.word_order == "little":
            data = b"".join(data[at : at + 2] for at in reversed(range(0, len(data), 2)))
        return data


class _Plan(NamedTuple):
    """How the registers of one request are made: name, encoder, from where to where, and which part of its bytes."""

    empty: bytes
    parts: list[tuple[str, Callable[[float | None], bytes], int, int, slice]]


def _of_setting(setting: Setting, number: float | None) -> bytes:
    return setting.encode(setting.default if number is None else number)


def _place(data: bytearray, first: int, address: int, words: bytes) -> None:
    """Put as much of `words` into registers from `first` on as lies there."""
    for at in range(0, len(words), 2):
        place = 2 * (address - first) + at
        if 0 <= place < len(data):
            data[place : place + 2] = words[at : at + 2]


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
        raise ProfileError(f"{origin}: " + "; ".join(faults_of(error))) from error
