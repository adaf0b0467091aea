"""Who reaches whom, and by which way: links by attenuation, and routes of fewest expected transmissions.

Routes minimise ETX, the expected number of transmissions (De Couto et al., 2003), as RPL's MRHOF does (RFC 6719).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meters.device.draws import Purpose, uniform

NO_PARENT = -1
_BLOCK = 512
_UNREACHED = np.inf

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Links:
    """Links between so many `nodes`, each twice: e entries sorted by `child`, which may choose `parent`.

    `margin_db` (e,): what is received above the level at which half of the transmissions are heard.
    """

    nodes: int
    child: Indices
    parent: Indices
    margin_db: Floats


@dataclass(frozen=True, slots=True)
class Routes:
    """Of each node (k,): the next on its way to the root, NO_PARENT where there is no way; its hops and the ETX of it.

    `through` (k,) is the share of transmissions to the next that is heard.
    """

    parent: Indices
    hops: Indices
    etx: Floats
    through: Floats


def heard(margin_db: Floats, fading_db: float) -> Floats:
    """The share of transmissions that is heard at these margins: half of them at 0 dB."""
    share: Floats = 1.0 / (1.0 + np.exp(-2.0 * np.clip(margin_db / fading_db, -20.0, 20.0)))
    return share


def near_links(
    positions_m: Floats,
    keys: NDArray[np.uint64],
    margin_db: Callable[[Indices, Indices, Floats], Floats],
    *,
    shadowing_db: float,
    reach_m: float,
) -> Links:
    """Links of all pairs of nodes (k, 2) that are no further apart than `reach_m`.

    :param margin_db: by child, parent and distance in m, (e,): what a link has in hand before shadowing.
    """
    found: list[tuple[Indices, Indices, Floats]] = []
    for first in range(0, len(positions_m), _BLOCK):
        block = positions_m[first : first + _BLOCK]
        apart_m = np.hypot(*(block[:, None, axis] - positions_m[None, :, axis] for axis in (0, 1)))
        child, parent = np.nonzero(apart_m <= reach_m)
        others = child + first != parent
        child, parent = child[others], parent[others]
        found.append((child + first, parent, apart_m[child, parent]))
    child, parent, apart = (np.concatenate(each) for each in zip(*found, strict=True))
    shadows_db = shadowing_db * shadows(keys[child], keys[parent])
    return Links(len(positions_m), child, parent, margin_db(child, parent, apart) + shadows_db)


def shadows(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> Floats:
    """A standard normal number per pair (e,), the same in both directions (Box and Muller, 1958)."""
    least, most = np.minimum(one, other), np.maximum(one, other).astype(np.int64)
    radius = np.sqrt(-2.0 * np.log1p(-uniform(least, Purpose.LINK_SHADOW, most)))
    normal: Floats = radius * np.cos(2.0 * np.pi * uniform(least, Purpose.LINK_SHADOW_ANGLE, most))
    return normal


def routes(links: Links, success: Floats, usable: NDArray[np.bool_], root: int) -> Routes:
    """Routes to `root` over links with this `success` (e,), of which only the `usable` (e,) count.

    Of two ways that cost the same the one over the lower node is taken.
    """
    at = np.flatnonzero(usable & (links.child != root))
    child, parent = links.child[at], links.parent[at]
    # An acknowledgement has to come back over the same link.
    cost = 1.0 / success[at] ** 2
    etx = np.full(links.nodes, _UNREACHED)
    etx[root] = 0.0
    own = NO_PARENT * np.ones(links.nodes, dtype=np.intp)
    through = np.zeros(links.nodes)
    if len(at):
        starts = np.flatnonzero(np.diff(child, prepend=-1))
        heads = child[starts]
        while True:
            least = np.minimum.reduceat(etx[parent] + cost, starts)
            better = least < etx[heads]
            if not better.any():
                break
            etx[heads[better]] = least[better]
        lengths = np.diff(np.append(starts, len(at)))
        best = np.flatnonzero((etx[parent] + cost == etx[child]) & np.isfinite(etx[child]))
        # The first of each child; later ones are written over.
        own[child[best[::-1]]] = parent[best[::-1]]
        through[child[best[::-1]]] = success[at][best[::-1]]
        del lengths
    return Routes(own, _hops(own, root), etx, through)


def _hops(parent: Indices, root: int) -> Indices:
    hops = np.zeros(len(parent), dtype=np.intp)
    step = parent.copy()
    while (going := step != NO_PARENT).any():
        hops[going] += 1
        step[going] = np.where(step[going] == root, NO_PARENT, parent[step[going]])
    return hops


def paths(routes_: Routes) -> Floats:
    """(k, most hops): the share of transmissions heard on each hop to the root, 1 behind the last."""
    most = int(routes_.hops.max(initial=0))
    shares = np.ones((len(routes_.parent), max(most, 1)))
    step = np.arange(len(routes_.parent))
    for hop in range(most):
        going = routes_.hops > hop
        shares[going, hop] = routes_.through[step[going]]
        step[going] = routes_.parent[step[going]]
    return shares
