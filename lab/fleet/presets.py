"""Which vendors' meters a fleet has, and in which shares: by the name of a preset, or one's own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

Shares = Mapping[str, float]
"""Of all meters, by vendor profile; they sum to 1. `file:<path>` is a profile of one's own."""

PROFILE_FILE = "file:"
"""Begins the name of a vendor profile that is read from a file."""
_SUM_WITHIN = 1e-6


@dataclass(frozen=True, slots=True)
class Preset:
    """A fleet that comes with amilab."""

    description: str
    shares: Shares = field(repr=False)


PRESETS = {
    "bakeoff": Preset(
        "65 % mesh behind Sparkplug collectors, 30 % JSON over cellular MQTT, 5 % SDM630 behind Modbus gateways",
        {"sparkplug-mesh": 0.65, "rl-dsp": 0.30, "sdm630": 0.05},
    ),
    "cellular": Preset("each meter with an MQTT connection of its own, JSON", {"rl-dsp": 1.0}),
    "mesh": Preset("RF mesh, Sparkplug B through collectors that report every four hours", {"sparkplug-mesh": 1.0}),
    "plc": Preset(
        "power-line carrier, Sparkplug B through a data concentrator at each transformer, every hour",
        {"sparkplug-plc": 1.0},
    ),
}
DEFAULT_PRESET = "bakeoff"
TRANSFORMER_METER = "sdm630-ct"
"""Of the lab's own choice where a whole feeder is metered."""
NO_METER = "none"


def parse_preset(value: object) -> str:
    """The name of a preset. Raises ValueError that lists all there are."""
    if not isinstance(value, str) or value not in PRESETS:
        raise ValueError(f"{value!r} is no fleet; there are {', '.join(sorted(PRESETS))}")
    return value


def checked_shares(shares: Shares) -> Shares:
    """Raises ValueError: a share is not above 0, or they do not sum to 1."""
    if not shares:
        raise ValueError("there is no vendor in it")
    if wrong := [name for name, share in shares.items() if not 0 < share <= 1]:
        raise ValueError(f"the share of {', '.join(wrong)} must be above 0 and at most 1")
    total = math.fsum(shares.values())
    if abs(total - 1) > _SUM_WITHIN:
        raise ValueError(f"the shares sum to {total:g}; they must sum to 1")
    return shares


def parse_fleet(text: str) -> Shares:
    """What `--fleet` says: a preset, one vendor profile, or shares as `rl-dsp=0.3,file:acme.toml=0.7`.

    Raises ValueError. Whether there are such profiles is seen when they are loaded.
    """
    if text in PRESETS:
        return PRESETS[text].shares
    if "=" not in text:
        return {text: 1.0}
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, share = (each.strip() for each in part.rpartition("="))
        if name in shares:
            raise ValueError(f"{name} is given twice")
        try:
            shares[name] = float(share)
        except ValueError:
            raise ValueError(f"{part.strip()!r} is no share; write for instance rl-dsp=0.3,sdm630=0.7") from None
    return checked_shares(shares)


def anchored_shares(shares: Shares, directory: Path) -> Shares:
    """The same with the whole paths of files; `directory` is where relative ones start."""
    return {_anchored(name, directory): share for name, share in shares.items()}


def _anchored(name: str, directory: Path) -> str:
    if not name.startswith(PROFILE_FILE):
        return name
    return PROFILE_FILE + str((directory / name.removeprefix(PROFILE_FILE)).absolute())
