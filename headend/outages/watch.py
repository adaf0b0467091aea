"""When to look for outages, on the injected clock, and one look. All that is known is in the database.

Reports of a loss or return of supply are committed with the mark `pending`. Some seconds after the first of them (the
others of the same event are on their way) they are taken together with everything they touch, and the outages behind
them are derived anew. So a head-end that is killed goes on where it was, and looking twice changes nothing. While an
outage lasts, and for some time after, it is looked at again after each round of readings.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headend.clock import GRID_S
from headend.log import logger
from headend.metrics import Metrics
from headend.outages import store
from headend.outages.doubt import HORIZON_S, Beliefs
from headend.outages.explain import suspects
from headend.outages.follow import Follower, Report, Rules, groups, merged
from headend.outages.model import NetworkModel, classes_of
from headend.outages.phase_events import phases_lost
from headend.outages.phases import Phases
from headend.pace import pace_of
from headend.registry import EndDevice
from headend.settings import HeadEndSettings
from headend.store.database import Connection, Database

# After its end an outage is looked at until the readings of all meters have come, and for some time more.
_REVIEW_FOR_S = 3600
_REVIEW_AT_MOST_EVERY_S = 300
# By then a meter that lost a phase has told so, by its own clock.
_PHASE_TOLD_WITHIN_S = 900


@dataclass(frozen=True, slots=True)
class _Look:
    """What one look came to; `in_progress`: whether there is anything to be looked at again."""

    saved: tuple[store.Saved, ...]
    in_progress: bool


class OutageWatch:
    """Finds outages among the registered devices."""

    def __init__(
        self,
        settings: HeadEndSettings,
        model: NetworkModel,
        devices: Sequence[EndDevice],
        database: Database,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._database = database
        self._metrics = metrics
        self._kinds = model.kinds
        self._classes = classes_of(model, [device.usage_point for device in devices])
        self._phases = Phases.of(
            [model.phases.get(device.usage_point) for device in devices],
            [device.driver.capabilities.reports_outages for device in devices],
        )
        self._ids = [device.id for device in devices]
        self._index_of = {device.id: device.index for device in devices}
        self._rules = Rules(settings.outage_together_s, settings.outage_nested_after_s)
        self._beliefs = Beliefs(together_s=settings.outage_together_s, ahead_s=settings.clock_tolerance_s)
        self._interval_s = max((device.driver.interval_length_s for device in devices), default=0)
        # A meter that reports within its intervals says something of supply when one is over.
        cadences_s = [max(device.driver.report_every_s, device.driver.interval_length_s) for device in devices]
        self._report_every_s = np.array(cadences_s, dtype=np.int64)
        graces_s = [pace_of(settings, device).grace_s for device in devices]
        self._grace_s = np.array(graces_s, dtype=np.int64)
        self._cadences_s = sorted(set(zip(cadences_s, graces_s, strict=True)))
        self._review_for_s = _REVIEW_FOR_S + max([_REVIEW_FOR_S, *cadences_s])
        self._due_s: float | None = None
        self._in_progress = False
        self._looked_s: float | None = None
        self._recovered: tuple[float, float] | None = None
        known = model.feeding.keys() | model.kinds.keys()
        strangers = sum(device.usage_point not in known for device in devices)
        if strangers and model.feeding:
            logger().warning("usage points are not in the network model: their outages have no device", count=strangers)

    async def rebuild(self, connection: Connection, now_s: float) -> None:
        """Go on where an earlier life ended."""
        self._beliefs.restore(await store.believed(connection, now_s))
        if await store.count_pending(connection):
            self._due_s = now_s
        self._in_progress = bool(await self._reviewed(connection, now_s))
        self._looked_s = now_s

    async def _reviewed(self, connection: Connection, now_s: float) -> list[float]:
        return await store.outages_in_progress(connection, since_s=now_s - self._review_for_s, now_s=now_s)

    def doubt(self, device: EndDevice, down_s: float, up_s: float | None, now_s: float) -> str | None:
        """Why a meter is not believed a loss of supply, or its end; None if it is."""
        return self._beliefs.doubt(device.id, down_s, up_s, now_s)

    def reported(self, now_s: float) -> None:
        """A meter reported a loss or return of supply."""
        due_s = math.ceil(now_s + self._settings.outage_gather_s)
        self._due_s = due_s if self._due_s is None else min(self._due_s, due_s)

    def recovered(self, from_s: float, to_s: float) -> None:
        """Missing readings of [from_s, to_s) came in: they may show who had supply during an outage."""
        first_s, last_s = self._recovered or (from_s, to_s)
        self._recovered = min(first_s, from_s), max(last_s, to_s)

    def next_due_s(self, now_s: float) -> float | None:
        """The next instant at which `look` has something to do; it may be the present one."""
        wishes_s = [] if self._due_s is None else [self._due_s]
        if (self._in_progress or self._recovered is not None) and self._looked_s is not None:
            wishes_s.append(self._review_after_s(self._looked_s))
        return max(min(wishes_s), now_s) if wishes_s else None

    def _review_after_s(self, time_s: float) -> float:
        """After each round of somebody's readings, at the instant of the sweep for gaps: the clock is stopped there."""
        due_s = min(
            ((time_s - grace_s) // every_s + 1) * every_s + grace_s
            for every_s, grace_s in (
                (max(every_s, _REVIEW_AT_MOST_EVERY_S), grace_s)
                for every_s, grace_s in self._cadences_s or [(0, self._settings.gap_grace_s)]
            )
        )
        return -(-due_s // GRID_S) * GRID_S

    def _overdue(self, held_s: float, now_s: float) -> NDArray[np.bool_]:
        """The meters (n,) whose readings that close after `held_s` are due by now: each by its own cadence."""
        reported_s = -(-held_s // self._report_every_s) * self._report_every_s
        overdue: NDArray[np.bool_] = now_s > reported_s + self._grace_s
        return overdue

    async def advance(self, now_s: float) -> None:
        """Look, if that is due."""
        due_s = self.next_due_s(now_s)
        if due_s is not None and due_s <= now_s:
            await self.look(now_s)

    async def look(self, now_s: float) -> None:
        """Derive the outages behind what was reported, and those in progress, on what is known at `now_s`."""
        recovered = self._recovered
        self._due_s, self._recovered, self._looked_s = None, None, now_s

        async def work(connection: Connection) -> _Look:
            instants = set(await store.take_pending(connection))
            instants.update(await self._reviewed(connection, now_s))
            if recovered is not None:
                first_s, last_s = recovered
                instants.update(await store.outages_between(connection, max(first_s, now_s - HORIZON_S), last_s))
            saved: list[store.Saved] = []
            done_s = -math.inf
            for instant_s in sorted(instants):
                if instant_s > done_s:
                    chain = await store.chain_around(
                        connection, instant_s, self._index_of, together_s=self._rules.together_s
                    )
                    if chain:
                        done_s = chain[-1].down_s
                        saved.append(await self._derive(connection, chain, now_s))
            return _Look(tuple(saved), bool(await self._reviewed(connection, now_s)))

        look = await self._database.run(work)
        self._in_progress = look.in_progress
        for saved in look.saved:
            self._tell(saved)

    async def _derive(self, connection: Connection, chain: Sequence[Report], now_s: float) -> store.Saved:
        from_s, to_s = chain[0].down_s, chain[-1].down_s
        meters = sorted({report.meter for report in chain})
        later = await store.later_reports(connection, meters, to_s, self._ids, self._index_of)
        together_s = self._rules.together_s
        reports = [report for report in merged([*chain, *later], together_s) if report.down_s <= to_s]
        kept: list[store.Kept] = []
        for group in groups(reports, together_s):
            kept += await self._explain(connection, group, now_s)
        return await store.save(
            connection, kept, from_s=from_s, to_s=to_s, ids=self._ids, now_s=now_s, together_s=together_s
        )

    async def _explain(self, connection: Connection, group: Sequence[Report], now_s: float) -> list[store.Kept]:
        instant_s, settings = group[0].down_s, self._settings
        dark = [report.meter for report in group]
        earlier = merged(await store.dark_already(connection, instant_s, self._index_of), self._rules.together_s)
        elsewhere = {
            report.meter
            for report in earlier
            if report.down_s < instant_s - self._rules.together_s
            and min(report.back_by_s, math.inf if report.up_s is None else report.up_s) > instant_s
        }
        ends_s = [report.up_s for report in group if report.up_s is not None]
        until_s = max(ends_s) + 2 * self._interval_s if len(ends_s) == len(group) else now_s
        lost = await phases_lost(
            connection,
            instant_s,
            instant_s + _PHASE_TOLD_WITHIN_S,
            self._index_of,
            together_s=self._rules.together_s,
        )
        seen = await store.sightings(
            connection,
            suspects(self._classes, [*dark, *lost.keys() - set(dark)], elsewhere.difference(dark)).tolist(),
            self._ids,
            self._index_of,
            store.Reach(
                instant_s=instant_s,
                until_s=until_s,
                interval_s=self._interval_s,
                hold_up_s=settings.outage_hold_up_s,
                together_s=self._rules.together_s,
                overdue=self._overdue(instant_s + settings.outage_hold_up_s, now_s),
                back_before_s=now_s - float(self._grace_s.max(initial=settings.gap_grace_s)),
            ),
        )
        follower = Follower(
            self._classes,
            seen,
            self._rules,
            elsewhere=elsewhere.difference(dark),
            now_s=now_s,
            phases=self._phases.with_lost({meter: phase for meter, phase in lost.items() if meter not in dark}),
        )
        return [
            store.Kept(
                instant_s,
                outage,
                devices := self._classes.devices[outage.class_index],
                self._kinds[devices[0]] if devices else None,
            )
            for outage in follower.outages(group)
        ]

    def _tell(self, saved: store.Saved) -> None:
        for entry in saved.new:
            self._metrics.outages.inc()
            logger().warning(
                "outage", device=entry.devices[0] if entry.devices else None, customers=len(entry.outage.parts)
            )
        if saved.withdrawn:
            logger().warning("outages withdrawn: later reports explain them otherwise", outages=saved.withdrawn)
