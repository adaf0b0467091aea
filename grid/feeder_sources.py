"""Where a feeder's net comes from: bundled with pandapower, a SimBench code, or a file."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandapower as pp
import pandapower.networks

from grid.pandapower_quiet import quiet_pandapower
from grid.profiles import DEFAULT_SCENARIO

SIMBENCH = "simbench:"
FILE = "file:"


class SourceError(ValueError):
    """There is no such net, or it cannot be read; the message says why."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A pandapower net as it came."""

    label: str
    """What the feeder is called: a file without its directories."""
    net: Any
    profile_scenario: int
    """Which scenario of SimBench has the curves that the net's `profile` columns name."""


def load_source(name: str) -> Source:
    """`schutterwald`, `simbench:<code>` or `file:<path of a pandapower JSON file>`. Raises SourceError."""
    if name.startswith(SIMBENCH):
        return _simbench(name)
    if name.startswith(FILE):
        return _file(Path(name.removeprefix(FILE)))
    if name in _BUNDLED:
        return Source(name, _BUNDLED[name](), DEFAULT_SCENARIO)
    raise SourceError(f"unknown; known feeders: {', '.join(_BUNDLED)}, {SIMBENCH}<code>, {FILE}<path>")


def _schutterwald() -> Any:
    """A German village with 14 MV/LV transformers: https://doi.org/10.3390/en13164052, shipped by pandapower.

    The published tap position lowers the voltage by 2.5 % on top of a source at 0.965 pu; real evening peaks then fall
    below the 0.9 pu of EN 50160. The taps are put to neutral, as the network's operator would.
    """
    with quiet_pandapower():
        net = pandapower.networks.lv_schutterwald()
    net.trafo["tap_pos"] = net.trafo["tap_neutral"]
    return net


_BUNDLED: dict[str, Callable[[], Any]] = {"schutterwald": _schutterwald}


def _simbench(name: str) -> Source:
    try:
        # Takes seconds: only for those who ask for it.
        import simbench
    except ImportError as error:
        raise SourceError("the package simbench is missing: pip install simbench") from error
    code = name.removeprefix(SIMBENCH)
    codes: list[str] = simbench.collect_all_simbench_codes()
    if code not in codes:
        close = difflib.get_close_matches(code, codes, n=3, cutoff=0.0)
        raise SourceError(f"SimBench has no network {code!r}; the nearest of its {len(codes)}: {', '.join(close)}")
    with quiet_pandapower():
        net = simbench.get_simbench_net(code)
    # Curves of the whole year, which are read again where they are wanted, and which copies should not carry.
    net.pop("profiles", None)
    return Source(name, net, int(code.split("-")[-2]))


def _file(path: Path) -> Source:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a name with a zero byte
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SourceError(f"cannot read {path}: {reason}") from error
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path} is not JSON: {error}") from error
    if not isinstance(document, dict) or document.get("_class") != "pandapowerNet":
        raise SourceError(f"{path} is not a pandapower net; write one with pandapower.to_json(net, {path.name!r})")
    try:
        with quiet_pandapower():
            net = pp.from_json_string(text)
    except (ValueError, TypeError, KeyError, AttributeError, ImportError, UserWarning) as error:
        raise SourceError(f"pandapower cannot read {path}: {type(error).__name__}: {error}") from error
    return Source(f"{FILE}{path.name}", net, DEFAULT_SCENARIO)
