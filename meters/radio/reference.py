"""The table of parameters in docs/communications-network.md, made of parameters.toml.

`python -m meters.radio.reference` writes it anew in this checkout; what stands above it is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from meters.radio.parameters import Parameter, fixed, stated

PAGE = Path(__file__).resolve().parents[2] / "docs" / "communications-network.md"
_BEGINS = "## Parameters\n"
_TITLES = {
    "mesh": "RF mesh: `[network.mesh]`",
    "plc": "Power-line carrier: `[network.plc]`",
    "cellular": "Cellular: `[network.cellular]`",
    "backhaul": "Collector to broker: `[network.backhaul]`",
    "firmware": "Firmware: `[network.firmware]`",
}


def tables() -> str:
    """The section `Parameters`, to the end of the page."""
    counts = {grade: sum(each.grade == grade for each in _all()) for grade in ("V", "S", "K", "assumption")}
    told = ", ".join(f"{count} {grade}" for grade, count in counts.items() if count)
    parts = [
        _BEGINS,
        "Grades: V read in the source named; S second hand; K general knowledge that nothing read confirms;",
        "assumption: amilab's own choice.",
        f"Of {sum(counts.values())} parameters: {told}. Only a V may be called realistic.\n",
    ]
    for technology, entries in stated().items():
        parts += [f"### {_TITLES[technology]}\n", _table(entries)]
    parts += [
        "### Fixed\n",
        "Constants of the modules that put frames through the network. No scenario changes them.\n",
        _table(fixed()),
    ]
    return "\n".join(parts)


def page(text: str) -> str:
    """The page with the tables as they have to be. Raises ValueError: it has no section for them."""
    above, found, _ = text.partition(_BEGINS)
    if not found:
        raise ValueError(f"the page has no line {_BEGINS.strip()!r}")
    return above + tables()


def _all() -> list[Parameter]:
    return [each for entries in (*stated().values(), fixed()) for each in entries.values()]


def _table(entries: Mapping[str, Parameter]) -> str:
    rows = [
        f"| `{name}` | {_value(each)} | {each.unit} | {each.grade} | {each.source} |" for name, each in entries.items()
    ]
    return "\n".join(["| name | value | unit | grade | source, or why |", "|---|---|---|---|---|", *rows, ""])


def _value(entry: Parameter) -> str:
    if isinstance(entry.value, tuple):
        return ", ".join(f"{each:g}" for each in entry.value)
    return f"{entry.value:,.10g}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
