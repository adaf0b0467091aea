"""Who reaches whom, and by which way: links by attenuation, and routes of fewest expected transmissions.

Routes minimise ETX, the expected number of transmissions (De Couto et al., 2003), as RPL's MRHOF does (RFC 6719).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meters.device.draws import Purpose, normal

NO_PARENT = -1
_BLOCK = 512
LEAST_HEARD = 0.02
"""A link on which fewer transmissions are heard neither carries nor disturbs anything. An
assumption of amilab's, as the next."""
FARTHEST_SHADOWS = 2.0
"""Standard deviations of shadowing by which a link may be longer than without it."""
_LAST_RESORT_ETX = 1e4
"""More than all links of a way expect together."""

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Links:
    """Links between so many `nodes`, each twice: e entries sorted by `child`, which may choose `parent`.

    `margin_db` (e,): what is received above the level at which half of the transmissions are heard. It is the same in
    both directions.
    """

    nodes: int
    child: Indices
    parent: Indices
    margin_db: Floats


@dataclass(frozen=True, slots=True)
class Routes:
    """Of each node (k,): the next on its way to the root, NO_PARENT where there is no way; and how many hops it has.

    `through` (k,): the share of transmissions to the next that succeed. `shares` (k, h): those of all hops on the way,
    1 behind the last.
    """

    parent: Indices
    hops: Indices
    through: Floats
    shares: Floats


def heard(margin_db: Floats, fading_db: float) -> Floats:
    """The share of transmissions that is heard at these margins: half of them at 0 dB."""
    share: Floats = 1.0 / (1.0 + np.exp(-2.0 * np.clip(margin_db / fading_db, -20.0, 20.0)))
    return share


def margin_of(share: Floats, fading_db: float) -> Floats:
    """The margin at which this share is heard; at least 1e-9, and at most all but so much."""
    inside = np.clip(share, 1e-9, 1.0 - 1e-9)
    margin: Floats = np.log(inside / (1.0 - inside)) * fading_db / 2.0
    return margin


def near_links(
    positions_m: Floats,
    keys: NDArray[np.uint64],
    margin_db: Callable[[Indices, Indices, Floats], Floats],
    *,
    shadowing_db: float,
    fading_db: float,
    reach_m: float,
) -> Links:
    """Links of all pairs of nodes (k, 2) that are no further apart than `reach_m` and hear each other at all.

    :param margin_db: by child, parent and distance in m, (e,): what a link has in hand before shadowing.
    """
    found: list[tuple[Indices, Indices, Floats]] = []
    for first in range(0, len(positions_m), _BLOCK):
        apart_m = _apart_m(positions_m[first : first + _BLOCK], positions_m)
        child, parent = np.nonzero(apart_m <= reach_m)
        distance_m = apart_m[child, parent]
        child = child + first
        margins = margin_db(child, parent, distance_m) + shadowing_db * _shadow(keys[child], keys[parent])
        kept = (child != parent) & (heard(margins, fading_db) >= LEAST_HEARD)
        found.append((child[kept], parent[kept], margins[kept]))
    return Links(len(positions_m), *(np.concatenate(each) for each in zip(*found, strict=True)))


def all_reached(
    links: Links, positions_m: Floats, root: int, *, least_margin_db: float, given_db: float, reach: float = 1.0
) -> Links:
    """The same links, and one more for whatever has no way to the root: to a near node that has one.

    Whoever is nearest to such nodes comes first. Of those up to `reach` times as far as the nearest it gets the one
    with the fewest hops: with the nearest, those who are far out would make one long chain.

    :param least_margin_db: below it a link does not count as a way.
    :param given_db: the margin of the further links.
    """
    strong = links.margin_db >= least_margin_db
    child, parent = links.child[strong], links.parent[strong]
    hops = np.full(links.nodes, links.nodes, dtype=np.intp)
    hops[root] = 0
    _spread(hops, child, parent)
    added: list[tuple[int, int]] = []
    while (unreached := hops == links.nodes).any():
        outside, inside = np.flatnonzero(unreached), np.flatnonzero(~unreached)
        apart_m = _apart_m(positions_m[outside], positions_m[inside])
        first = int(apart_m.min(axis=1).argmin())
        own_m = apart_m[first]
        aims = np.flatnonzero(own_m <= reach * own_m.min())
        aim = aims[np.lexsort((own_m[aims], hops[inside[aims]]))[0]]
        added.append((int(outside[first]), int(inside[aim])))
        hops[added[-1][0]] = hops[added[-1][1]] + 1
        _spread(hops, child, parent)
    if not added:
        return links
    ends = np.array(added, dtype=np.intp)
    child = np.concatenate([links.child, ends[:, 0], ends[:, 1]])
    parent = np.concatenate([links.parent, ends[:, 1], ends[:, 0]])
    margin_db = np.concatenate([links.margin_db, np.full(2 * len(ends), given_db)])
    # Of two entries for the same pair, the better one stays.
    order = np.lexsort((-margin_db, parent, child))
    child, parent, margin_db = child[order], parent[order], margin_db[order]
    first = (np.diff(child, prepend=-1) != 0) | (np.diff(parent, prepend=-1) != 0)
    return Links(links.nodes, child[first], parent[first], margin_db[first])


def routes(links: Links, success: Floats, usable: Booleans, root: int, *, strong: float = 0.0) -> Routes:
    """Routes to `root` over the `usable` (e,) links; `success` (e,) is the share of transmissions that succeed.

    Of two ways that cost the same, that over the lower node is taken.

    :param strong: links on which less succeeds are only for whom there is no other way. Repetitions end, so a way of
        few weak links loses more than one of many strong links that expects as many transmissions.
    """
    at = np.flatnonzero(usable & (links.child != root))
    child, parent, through = links.child[at], links.parent[at], success[at]
    etx = np.full(links.nodes, np.inf)
    etx[root] = 0.0
    chosen = np.full(links.nodes, NO_PARENT, dtype=np.intp)
    share = np.zeros(links.nodes)
    if len(at):
        cost = 1.0 / through + np.where(through < strong, _LAST_RESORT_ETX, 0.0)
        starts = np.flatnonzero(np.diff(child, prepend=-1))
        heads = child[starts]
        while not np.array_equal(least := np.minimum.reduceat(etx[parent] + cost, starts), etx[heads]):
            etx[heads] = least
        # The first entry of each child that costs the least; whichever is written last stays.
        best = np.flatnonzero((etx[parent] + cost == etx[child]) & np.isfinite(etx[child]))[::-1]
        chosen[child[best]] = parent[best]
        share[child[best]] = through[best]
    hops, shares = _along(chosen, share, root)
    return Routes(chosen, hops, share, shares)


def on_the_way(found: Routes, root: int, marked: Booleans) -> Booleans:
    """Which nodes (k,) are marked themselves, or have a marked one on their way to the root, which counts, too."""
    reached = marked.copy()
    at = found.parent.copy()
    while (going := at != NO_PARENT).any():
        reached[going] |= marked[at[going]]
        at = np.where(going & (at != root), found.parent[at], NO_PARENT)
    return reached


def _along(parent: Indices, through: Floats, root: int) -> tuple[Indices, Floats]:
    """How many hops each node has, and the shares of all of them."""
    hops = np.zeros(len(parent), dtype=np.intp)
    columns = []
    at = np.arange(len(parent))
    while (going := (at != root) & (parent[at] != NO_PARENT)).any():
        columns.append(np.where(going, through[at], 1.0))
        hops[going] += 1
        at = np.where(going, parent[at], root)
    return hops, np.column_stack(columns) if columns else np.ones((len(parent), 1))


def _shadow(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> Floats:
    """A standard normal number per pair (e,), the same in both directions."""
    least, most = np.minimum(one, other), np.maximum(one, other).astype(np.int64)
    return normal(least, Purpose.LINK_SHADOW, Purpose.LINK_SHADOW_ANGLE, most)


def _spread(hops: Indices, child: Indices, parent: Indices) -> None:
    """The fewest hops of each node (k,) over these links; as many as there are nodes: none."""
    while (fewer := hops[parent] + 1 < hops[child]).any():
        np.minimum.at(hops, child[fewer], hops[parent[fewer]] + 1)


def _apart_m(some: Floats, others: Floats) -> Floats:
    apart_m: Floats = np.hypot(*(some[:, None, axis] - others[None, :, axis] for axis in (0, 1)))
    return apart_m
