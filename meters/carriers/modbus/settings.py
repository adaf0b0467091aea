"""What masters have written into the meters of a shard: holding registers, the lock over them, and bus addresses. Pure.

The lock is that of the Eastron meters: whoever has written the password may write protected settings for a minute, and
reading the lock begins that minute anew (docs/wire-sdm630.md). A restart locks. A new address holds from the meter's
next restart on. So whoever reaches a meter's line can move or mute it; the page says what bounds that and tells of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from meters.carriers.modbus.entries import Refusal, Setting

UNLOCKED_S = 60.0
"""Eastron SDM630Modbus, protocol implementation, 40015: the password times out after a minute."""
_LARGEST_SERIAL = 1 << 32


@dataclass(slots=True)
class _Own:
    """Of one meter, what is not as it was delivered. `moves`: (address in effect, that which was written, when)."""

    kept: dict[str, float] = field(default_factory=dict)
    moves: tuple[int, int, float] | None = None


class Settings:
    """Meters are 0 to n − 1, delivered with the addresses `units`; `serials` have the number of each."""

    def __init__(self, settings: Sequence[Setting], units: Sequence[int], serials: Sequence[str]) -> None:
        self._settings = {each.name: each for each in settings}
        self._units = tuple(units)
        self._serials = tuple(serials)
        self._own: dict[int, _Own] = {}
        self.moved = False
        """Whether the address of any meter was ever written."""
        self._unlocked_s: dict[int, float] = {}
        """Until when a meter is unlocked. Not kept: a restart locks."""

    def unit(self, meter: int, up_at_s: float) -> int:
        """The address in effect of a meter that has been up since `up_at_s`."""
        own = self._own.get(meter)
        if own is None or own.moves is None:
            return self._units[meter]
        before, written, at_s = own.moves
        return written if up_at_s > at_s else before

    def number(self, meter: int, role: str, default: float) -> float:
        """What the setting with this role is, or `default` where the meters have none."""
        found = next((each for each in self._settings.values() if each.role == role), None)
        if found is None:
            return default
        own = self._own.get(meter)
        return found.default if own is None else own.kept.get(found.name, found.default)

    def shown(self, meter: int, now_s: float, up_at_s: float) -> Mapping[str, float]:
        """All settings by name, as they are read."""
        own = self._own.get(meter, _Own())
        shown = {}
        for name, setting in self._settings.items():
            match setting.role:
                case "unit":
                    shown[name] = float(self._units[meter] if own.moves is None else own.moves[1])
                case "serial":
                    shown[name] = float(int("0" + re.sub(r"[^0-9]", "", self._serials[meter])) % _LARGEST_SERIAL)
                case "letter":
                    serial = self._serials[meter].rjust(setting.from_end, "\0")
                    shown[name] = float(ord(serial[-setting.from_end]) & 0xFF)
                case "lock":
                    shown[name] = float(self._is_unlocked(meter, now_s, up_at_s))
                case "password" | "reset_demand":
                    # Nobody reads a password.
                    shown[name] = 0.0
                case "demand_time_min":
                    period_min = self.number(meter, "demand_period_min", 0.0)
                    shown[name] = float(min(max(now_s - up_at_s, 0.0) // 60.0, period_min))
                case _:
                    shown[name] = own.kept.get(name, setting.default)
        return shown

    def looked(self, meter: int, now_s: float, up_at_s: float) -> None:
        """The lock was read."""
        if self._is_unlocked(meter, now_s, up_at_s):
            self._unlocked_s[meter] = now_s + UNLOCKED_S

    def write(self, meter: int, setting: Setting, number: float, now_s: float, up_at_s: float) -> Refusal | None:
        """What a master writes; a refusal leaves everything as it is."""
        if not setting.writable:
            return Refusal.ILLEGAL_ADDRESS
        if setting.role == "lock":
            self._unlocked_s.pop(meter, None)
            return None
        if not setting.allows(number) or (setting.protected and not self._is_unlocked(meter, now_s, up_at_s)):
            return Refusal.ILLEGAL_VALUE
        if setting.role == "password":
            return self._unlock(meter, setting, number, now_s)
        if setting.role == "reset_demand":
            return None
        own = self._own.setdefault(meter, _Own())
        if setting.role == "unit":
            own.moves = (self.unit(meter, up_at_s), int(number), now_s)
            self.moved = True
        else:
            own.kept[setting.name] = number
        return None

    def _unlock(self, meter: int, setting: Setting, number: float, now_s: float) -> Refusal | None:
        if number != setting.default:
            return Refusal.ILLEGAL_VALUE
        self._unlocked_s[meter] = now_s + UNLOCKED_S
        return None

    def _is_unlocked(self, meter: int, now_s: float, up_at_s: float) -> bool:
        until_s = self._unlocked_s.get(meter, 0.0)
        return now_s < until_s and up_at_s <= until_s - UNLOCKED_S

    def of(self, meter: int) -> bytes:
        """What this meter must remember."""
        return json.dumps(asdict(self._own.get(meter, _Own()))).encode()

    def restore(self, kept: Mapping[int, bytes]) -> None:
        """Go on from what `of` said, by meter."""
        for meter, said in kept.items():
            own = json.loads(said)
            self._own[meter] = _Own(own["kept"], None if own["moves"] is None else tuple(own["moves"]))
        self.moved = any(own.moves is not None for own in self._own.values())
