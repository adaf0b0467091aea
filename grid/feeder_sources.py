"""Where a feeder's net comes from: bundled with pandapower, a SimBench code, or a file."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandapower.networks
from pandapower.convert_format import convert_trafo_pst_logic

from grid.net_file import NetFileError, read_net_file
from grid.pandapower_calls import quiet_pandapower
from grid.profiles import DEFAULT_SCENARIO

SIMBENCH = "simbench:"
FILE = "file:"


class SourceError(ValueError):
    """There is no such net, or it cannot be read; `faults` says why."""

    def __init__(self, *faults: str) -> None:
        self.faults = faults
        super().__init__("; ".join(faults))


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A pandapower net as it came."""

    label: str
    """What the feeder is called: a file without its directories."""
    net: Any
    profile_scenario: int
    """Which scenario of SimBench has the curves that the net's `profile` columns name."""
    faults: tuple[str, ...] = ()
    """What is wrong with it and can no longer be seen in `net`."""
    notices: tuple[str, ...] = ()


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
    below the 0.9 pu of EN 50160. The taps are put to neutral, as the network's operator would. The study's heat pumps
    are left out, as pandapower's own function does by default: `grid.demand` draws them.
    """
    net = read_net_file(Path(pandapower.networks.__file__).with_name("lv_schutterwald.json")).net
    net["load"] = net.load[net.load["type"] != "HP"]
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
    # pandapower 3 heeds no tap without a type, and SimBench's tables state none.
    convert_trafo_pst_logic(net)
    # Curves of the whole year, which are read again where they are wanted, and which copies should not carry.
    net.pop("profiles", None)
    return Source(name, net, int(code.split("-")[-2]))


def _file(path: Path) -> Source:
    try:
        found = read_net_file(path)
    except NetFileError as error:
        raise SourceError(*error.faults) from error
    return Source(f"{FILE}{path.name}", found.net, DEFAULT_SCENARIO, found.faults, found.notices)
