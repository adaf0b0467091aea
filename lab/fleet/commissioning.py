"""Which usage point gets which vendor's meter, and which collector or gateway carries it. Pure but for passwords."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lab.fleet.geography import Place, areas
from lab.fleet.shipment import ANYBODY, ShippedMeter
from lab.services.external import ExternalBroker
from meters.device.facts import CollectedFacts
from meters.vendors.profile import VendorProfile

METERS_PER_COLLECTOR = 200
METERS_PER_GATEWAY = 31
"""An RS-485 line has 32 unit loads, of which the gateway is one (TIA-485-A)."""

_PHASES, _NOMINAL_V = 3, 230.0
_STANDARD_CURRENTS = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.5, 10.0)
"""And their decimal multiples: rated primary currents of current transformers (IEC 61869-2)."""


@dataclass(frozen=True, slots=True)
class Commissioned:
    """The meters in the order of their usage points; `carriers`: which meters (rows) each collector or gateway has."""

    meters: list[ShippedMeter]
    carriers: dict[str, list[int]] = field(default_factory=dict)

    @property
    def collectors(self) -> dict[str, list[ShippedMeter]]:
        """The meters of each Sparkplug edge node."""
        return {
            name: [self.meters[row] for row in rows]
            for name, rows in self.carriers.items()
            if self.meters[rows[0]].profile.capabilities.needs_collector
        }

    @property
    def stations(self) -> list[str]:
        """Whoever has a connection to the broker: meters by serial, and collectors."""
        return [meter.serial for meter in self.meters if not meter.address] + list(self.collectors)

    @property
    def connections(self) -> int:
        """To the broker, and of gateways."""
        return len(self.carriers) + sum(not meter.address for meter in self.meters)


def commission(
    usage_points: Sequence[str],
    places: Sequence[Place],
    mix: Sequence[tuple[VendorProfile, float]],
    *,
    group: str,
    seed: int,
    new_gateway: Callable[[], str],
    broker: ExternalBroker | None = None,
    largest_w: Sequence[float] = (),
    phases: Sequence[Sequence[str]] = (),
    besides: Commissioned | None = None,
) -> Commissioned:
    """One meter for each usage point, of a vendor drawn by seed.

    With an external broker, which knows nothing of these meters, all use the credentials of its URL.

    :param new_gateway: the `host:port` at which a further Modbus gateway listens.
    :param largest_w: of each usage point; beyond the meter's own rating it gets current transformers. Empty: unknown.
    :param phases: that each usage point is connected to. Empty: all three.
    :param besides: meters that there are already: serials and collectors go on after theirs.
    """
    first, collectors = (0, 0) if besides is None else (len(besides.meters), len(besides.carriers))
    meters: list[ShippedMeter | None] = [None] * len(usage_points)
    carriers: dict[str, list[int]] = {}

    def credentials(name: str) -> tuple[str, str]:
        if broker is not None:
            return broker.username or ANYBODY, broker.password or ANYBODY
        return f"{group}-{name}", secrets.token_urlsafe(12)

    for profile, rows in _drawn(len(usage_points), mix, seed):
        if not (profile.capabilities.needs_collector or profile.capabilities.needs_gateway):
            for row in rows:
                serial = _serial(first + row)
                meters[row] = ShippedMeter(serial, usage_points[row], profile, *credentials(serial))
            continue
        for area in _areas(profile, [places[row] for row in rows]):
            members = [rows[index] for index in area]
            if profile.capabilities.needs_collector:
                carrier = f"COL{collectors + len(carriers) + 1:04d}"
                username, password = credentials(carrier)
                addresses = [carrier] * len(members)
            else:
                carrier = new_gateway()
                username = password = ""
                addresses = [f"{carrier}/{unit}" for unit in range(1, len(members) + 1)]
            carriers[carrier] = members
            for row, address in zip(members, addresses, strict=True):
                meters[row] = ShippedMeter(
                    _serial(first + row), usage_points[row], profile, username, password, address
                )
    found = [meter for meter in meters if meter is not None]
    if largest_w:
        found = [_rated(meter, most_w) for meter, most_w in zip(found, largest_w, strict=True)]
    if phases:
        found = [replace(meter, phases=tuple(own)) for meter, own in zip(found, phases, strict=True)]
    return Commissioned(found, carriers)


def _rated(meter: ShippedMeter, largest_w: float) -> ShippedMeter:
    """Behind current transformers of a standard size, where what it measures is more than it can pass itself."""
    wanted_a = largest_w / (_PHASES * _NOMINAL_V)
    if wanted_a <= meter.profile.facts.max_current_a:
        return meter
    decade_a = 10.0 ** math.floor(math.log10(wanted_a))
    return replace(meter, max_current_a=min(a * decade_a for a in _STANDARD_CURRENTS if a * decade_a >= wanted_a))


def processes(fleet: Commissioned, limit: int, *, without: frozenset[int] = frozenset()) -> list[list[int]]:
    """The meters (rows) of each process of the fleet: at most `limit`, all of nearly one size.

    The meters of a collector or gateway stay together, also if they are more than `limit`.

    :param without: meters that are not to be in any, with all of their gateway's or collector's.
    """
    carriers = [rows for rows in fleet.carriers.values() if rows[0] not in without]
    carried = {row for rows in fleet.carriers.values() for row in rows} | without
    bundles = [*carriers, *([row] for row in range(len(fleet.meters)) if row not in carried)]
    if not bundles:
        return []
    limit = max(limit, *map(len, bundles))
    count = -(-sum(map(len, bundles)) // limit)
    while True:
        shares: list[list[int]] = [[] for _ in range(count)]
        # The largest first, each to whoever has least: single meters level out what collectors leave.
        for bundle in sorted(bundles, key=len, reverse=True):
            min(shares, key=len).extend(bundle)
        if max(map(len, shares)) <= limit:
            return [sorted(share) for share in shares]
        count += 1


def _drawn(count: int, mix: Sequence[tuple[VendorProfile, float]], seed: int) -> list[tuple[VendorProfile, list[int]]]:
    """The rows of each vendor: shares exact up to rounding, but each vendor gets a meter if there are enough."""
    order = np.random.default_rng([seed, count]).permutation(count)
    bounds = np.rint(np.cumsum([share for _, share in mix]) * count).astype(int).tolist()
    bounds[-1] = count
    if count >= len(mix):
        for index in range(len(mix)):
            bounds[index] = max(bounds[index], (bounds[index - 1] if index else 0) + 1)
        bounds[-1] = count
        for index in range(len(mix) - 2, -1, -1):
            bounds[index] = min(bounds[index], bounds[index + 1] - 1)
    firsts = [0, *bounds[:-1]]
    drawn = [
        (profile, sorted(order[first:end].tolist()))
        for (profile, _), first, end in zip(mix, firsts, bounds, strict=True)
    ]
    return [(profile, rows) for profile, rows in drawn if rows]


def _areas(profile: VendorProfile, places: Sequence[Place]) -> list[list[int]]:
    if isinstance(profile.facts, CollectedFacts):
        facts = profile.facts
        return areas(places, facts.meters_per_collector, within_transformer=not facts.collector_passes_transformers)
    return areas(places, METERS_PER_GATEWAY, within_transformer=True)


def _serial(row: int) -> str:
    return f"AMI{row + 1:08d}"
