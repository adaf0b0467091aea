"""What a net states of its loads, static generators and storages: rated power, profile, and whose they are.

A static generator or a storage at the bus of a usage point is behind that usage point's meter, as at a house with
photovoltaics: at the first one's, where a bus has several. Every other one, and every load that is no usage point, is
**bulk**: it loads the feeder, or feeds it, and has no meter. Bulk becomes loads, of negative power for what feeds in,
so that everything that takes or feeds is a row of `net.load`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandapower as pp
from numpy.typing import NDArray

ProfileKind = Literal["load", "renewable", "storage"]
_Table = Literal["load", "sgen", "storage"]
_KINDS: dict[_Table, ProfileKind] = {"load": "load", "sgen": "renewable", "storage": "storage"}
_SUN = re.compile(r"^(res_)?(pv|solar|photovoltaic)", re.IGNORECASE)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ProfileName:
    """A published curve, by its name in SimBench's profiles of this kind. `name` is empty where the net names none."""

    kind: ProfileKind
    name: str
    sun: bool = False
    """It feeds in from the sun, by its type or its profile."""


@dataclass(frozen=True, slots=True, eq=False)
class Elements:
    """k loads, static generators or storages. Power as the net states it, scaling included: + is consumption."""

    owner: NDArray[np.intp]
    """(k,) position of the usage point, or, for bulk, the row in `net.load`."""
    active_power_w: Floats
    """(k,)"""
    reactive_power_var: Floats
    """(k,)"""
    profile: tuple[ProfileName, ...]


def take_over(net: Any, loads: Any) -> tuple[Elements, Elements, Elements]:
    """The usage points' own loads, what else is behind their meters, and bulk. Changes `net`: see the module.

    :param loads: the rows of `net.load` that are usage points, in their order.
    """
    own = _elements(net, "load", loads.index, np.arange(len(loads), dtype=np.intp))
    unmetered = np.flatnonzero(net.load["in_service"].to_numpy(dtype=bool) & ~net.load.index.isin(loads.index))
    bulk = _elements(net, "load", net.load.index[unmetered], unmetered)
    point_at: dict[int, int] = {}
    for number, bus in enumerate(loads["bus"]):
        point_at.setdefault(int(bus), number)
    behind, feeding = [], []
    tables: tuple[_Table, ...] = ("sgen", "storage")
    for table in tables:
        sources = net[table][net[table]["in_service"].to_numpy(dtype=bool)]
        position = np.array([point_at.get(int(bus), -1) for bus in sources["bus"]], dtype=np.intp)
        behind.append(_elements(net, table, sources.index[position >= 0], position[position >= 0]))
        away = sources.index[position < 0]
        feeding.append(_elements(net, table, away, len(net.load) + np.arange(len(away), dtype=np.intp)))
        if len(away):
            p_mw, q_mvar = feeding[-1].active_power_w / 1e6, feeding[-1].reactive_power_var / 1e6
            pp.create_loads(net, sources.loc[away, "bus"].tolist(), p_mw=p_mw, q_mvar=q_mvar)
        net[table] = net[table].iloc[:0]
    return own, _joined(*behind), _joined(bulk, *feeding)


def _elements(net: Any, table: _Table, index: Any, owner: NDArray[np.intp]) -> Elements:
    rows = net[table].loc[index]
    # What a generator feeds in is positive in its table; a storage counts as a load does.
    scale = (-1e6 if table == "sgen" else 1e6) * rows["scaling"].to_numpy(dtype=np.float64)
    kind = _KINDS[table]
    return Elements(
        owner,
        rows["p_mw"].to_numpy(dtype=np.float64) * scale,
        rows["q_mvar"].to_numpy(dtype=np.float64) * scale,
        tuple(
            ProfileName(kind, profile, kind == "renewable" and bool(_SUN.match(profile or type_)))
            for profile, type_ in zip(_texts(rows, "profile"), _texts(rows, "type"), strict=True)
        ),
    )


def _texts(rows: Any, column: str) -> list[str]:
    if column not in rows:
        return [""] * len(rows)
    return [value if isinstance(value, str) else "" for value in rows[column]]


def _joined(*parts: Elements) -> Elements:
    return Elements(
        np.concatenate([part.owner for part in parts]),
        np.concatenate([part.active_power_w for part in parts]),
        np.concatenate([part.reactive_power_var for part in parts]),
        tuple(profile for part in parts for profile in part.profile),
    )
