"""From what somebody asks for to faults of the modelled communications network of a living lab."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from lab.errors import UserError
from lab.live.asked import AirWanted, CellDown, Congestion, Jam, OperatorOutage
from lab.live.incidents import Incident, Incidents, Origin
from lab.scenario.air_targets import AirFault, Airspace
from meters.radio.faults import RadioFault

MOST_AT_ONCE = 50
"""Each weighs on every process of meters for as long as it lasts."""
_HIT: Mapping[str, str] = {
    "jam": "is jammed",
    "cell-down": "is down",
    "operator-outage": "is out",
    "congestion": "is congested",
}


class AirInjector:
    """Puts faults of the network on the agenda."""

    def __init__(self, airspace: Airspace | None, incidents: Incidents, seed: int) -> None:
        """:param airspace: None: no network is modelled."""
        self._airspace, self._incidents, self._seed = airspace, incidents, seed

    def inject(self, wanted: AirWanted, at_s: int, origin: Origin) -> Incident:
        """:raises UserError: it cannot be done; nothing is done then."""
        if self._airspace is None:
            raise UserError(
                "no communications network is modelled in this lab",
                'Begin it without model = "none" in [network], and without --network none.',
            )
        active = [each.disturbance for each in self._incidents.active(at_s) if each.disturbance.air is not None]
        if len(active) >= MOST_AT_ONCE:
            raise UserError(f"{len(active)} faults of the network are active, and no more can be", "Restore some.")
        fault = _described(wanted)
        disturbed = {name for each in active if each.target == fault.fault for name in each.hit}
        try:
            made = self._airspace.disturbance(
                fault,
                name=f"injected {len(self._incidents)}",
                seed=[self._seed, len(self._incidents)],
                from_s=at_s,
                until_s=None if wanted.for_s is None else at_s + wanted.for_s,
                taken=self._airspace.points_of(disturbed),
            )
        except ValueError as error:
            hint = "Collectors go by name (COL0001), cells as the map's card of a meter has them, meters by serial."
            raise UserError(str(error).splitlines(), hint) from error
        if again := [name for name in made.hit if name in disturbed]:
            raise UserError([f"{name} {_HIT[fault.fault]} already" for name in again], "Restore it first.")
        if fault.is_drawn and len(made.hit) < fault.count:
            raise UserError(f"{fault.count:,} are wanted, but only {len(made.hit):,} are free", "Ask for fewer.")
        return self._incidents.add(made, origin, open_ended=wanted.for_s is None)


def _described(wanted: AirWanted) -> AirFault:
    kind: RadioFault = wanted.kind
    match wanted:
        case Jam():
            return AirFault(
                kind,
                wanted.stations,
                wanted.collectors or 1,
                radius_m=wanted.radius_m,
                around=wanted.around,
                strength=wanted.strength,
            )
        case CellDown():
            return AirFault(kind, wanted.cells, wanted.count or 1)
        case Congestion():
            return AirFault(kind, wanted.cells, wanted.count or 1, messages_per_s=wanted.messages_per_s)
        case OperatorOutage():
            return AirFault(kind, () if wanted.operator is None else (wanted.operator,))
        case _:
            assert_never(wanted)
