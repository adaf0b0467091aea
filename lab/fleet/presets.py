"""Fleets that come with amilab: which vendors' meters, and in which shares."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Preset:
    """`shares`: weight of each vendor profile; they sum to 1."""

    description: str
    shares: tuple[tuple[str, float], ...]


PRESETS = {
    "bakeoff": Preset(
        "65 % mesh behind Sparkplug collectors, 30 % JSON over cellular MQTT, 5 % SDM630 behind Modbus gateways",
        (("sparkplug-mesh", 0.65), ("rl-dsp", 0.30), ("sdm630", 0.05)),
    ),
    "cellular": Preset("each meter with an MQTT connection of its own, JSON", (("rl-dsp", 1.0),)),
    "mesh": Preset("RF mesh, Sparkplug B through collectors that report every four hours", (("sparkplug-mesh", 1.0),)),
    "plc": Preset(
        "power-line carrier, Sparkplug B through a data concentrator at each transformer, every hour",
        (("sparkplug-plc", 1.0),),
    ),
}
DEFAULT_PRESET = "bakeoff"


def parse_preset(value: object) -> str:
    """The name of a preset. Raises ValueError that lists all there are."""
    if not isinstance(value, str) or value not in PRESETS:
        raise ValueError(f"{value!r} is no fleet; there are {', '.join(sorted(PRESETS))}")
    return value
