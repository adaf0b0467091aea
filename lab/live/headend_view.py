"""What the head-end makes of the lab: the flags of its meters for the map, and news for the event stream.

News are asked for by ranges of the head-end's own clock. All that it received up to a granted instant is committed when
that instant is over, so a range that ends there is complete and nothing is told twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from grid.wording import counted
from lab.live.feed import Feed, Tone
from lab.live.map_state import GASPED, OFFLINE, ONLINE, OUT, PHASE_TOLD, MapState
from lab.live.reader import Reader

_FLAGS = f"""
SELECT d.serial, CASE WHEN s.online THEN {ONLINE} ELSE {OFFLINE} END
FROM device_state s JOIN end_device d ON d.id = s.meter_id
UNION ALL
SELECT d.serial, {GASPED}
FROM interruption i JOIN end_device d ON d.id = i.meter_id WHERE i.up_at IS NULL
UNION ALL
SELECT d.serial, {OUT}
FROM outage o
JOIN outage_usage_point p ON p.outage_id = o.id
JOIN end_device d ON d.id = p.meter_id
WHERE o.ended_at IS NULL AND o.withdrawn_at IS NULL AND p.dark_to IS NULL
UNION ALL
SELECT d.serial, {PHASE_TOLD}
FROM end_device_event l JOIN end_device d ON d.id = l.meter_id
WHERE l.code = 'phase_loss' AND NOT EXISTS (
    SELECT FROM end_device_event b WHERE b.meter_id = l.meter_id AND b.sequence > l.sequence
    AND b.code = 'phase_restored' AND b.detail ->> 'phase' = l.detail ->> 'phase'
)
"""  # noqa: S608 - numbers of ours
_NEWS = """
SELECT 'gasps', max(gasp_received_at), count(*) FROM interruption
    WHERE gasp_received_at > %(after)s AND gasp_received_at <= %(until)s
UNION ALL
SELECT 'restores', max(restore_received_at), count(*) FROM interruption
    WHERE restore_received_at > %(after)s AND restore_received_at <= %(until)s
UNION ALL
SELECT 'phase losses', max(received_at), count(*) FROM end_device_event
    WHERE code = 'phase_loss' AND received_at > %(after)s AND received_at <= %(until)s
UNION ALL
SELECT CASE WHEN online THEN 'online' ELSE 'offline' END, max(at), count(*) FROM device_communication
    WHERE at > %(after)s AND at <= %(until)s GROUP BY online
UNION ALL
SELECT 'dead letters', max(received_at), count(*) FROM dead_letter
    WHERE received_at > %(after)s AND received_at <= %(until)s
"""
_COLLECTORS = """
SELECT edge_node, online, changed_at FROM collector
WHERE changed_at > %(after)s AND changed_at <= %(until)s ORDER BY changed_at, edge_node
"""
_OUTAGES = """
SELECT o.id, o.device, o.detected_at, o.revised_at, o.ended_at, o.withdrawn_at,
    (SELECT count(*) FROM outage_usage_point p WHERE p.outage_id = o.id)
FROM outage o WHERE greatest(o.detected_at, o.revised_at, o.withdrawn_at) > %(after)s ORDER BY o.id
"""
_WORDS: dict[str, tuple[str, str, Tone]] = {
    "gasps": ("last gasp heard", "last gasps heard", "bad"),
    "restores": ("meter says that supply is back", "meters say that supply is back", "good"),
    "phase losses": ("lost phase told of", "lost phases told of", "warning"),
    "online": ("meter can be reached", "meters can be reached", "good"),
    "offline": ("meter cannot be reached", "meters cannot be reached", "warning"),
    "dead letters": ("message could not be read", "messages could not be read", "warning"),
}


class HeadEndView:
    """Looks into the head-end's database for one map and one feed."""

    def __init__(self, reader: Reader, state: MapState, feed: Feed) -> None:
        self._reader = reader
        self._state = state
        self._feed = feed
        self._told_s: int | None = None
        self._outages: dict[int, tuple[object, ...]] = {}

    async def look(self, completed_s: int) -> None:
        """:param completed_s: the last instant [epoch s] that is over. Raises ReadError."""
        flags: dict[int, list[str]] = {}
        for serial, flag in (await self._reader.rows(_FLAGS)).rows:
            flags.setdefault(flag, []).append(serial)
        self._state.see_headend(flags.items())
        if self._told_s is None or completed_s > self._told_s:
            await self._tell_news(self._told_s or 0, completed_s)
            self._told_s = completed_s

    async def _tell_news(self, after_s: int, until_s: int) -> None:
        between = {"after": _instant(after_s), "until": _instant(until_s)}
        for name, at, count in (await self._reader.rows(_NEWS, between)).rows:
            if count:
                singular, plural, tone = _WORDS[name]
                self._feed.tell(_seconds(at), "head-end", counted(count, singular, plural), tone)
        for name, online, at in (await self._reader.rows(_COLLECTORS, between)).rows:
            words = "is online" if online else "is gone"
            tone = "good" if online else "warning"
            self._feed.tell(_seconds(at), "head-end", f"collector {name} {words}", tone, reveals="collectors")
        for row in (await self._reader.rows(_OUTAGES, between)).rows:
            self._tell_of_outage(row, until_s)

    def _tell_of_outage(self, row: Sequence[object], until_s: int) -> None:
        number, device, _detected_at, revised_at, ended_at, withdrawn_at, customers = row
        assert isinstance(number, int)
        assert isinstance(customers, int)
        now = (device, ended_at, withdrawn_at, customers)
        before = self._outages.get(number)
        if now == before:
            return
        self._outages[number] = now
        where = f"{str(device or 'no known device').replace(':', ' ')}, {counted(customers, 'customer')}"
        at_s = min(_seconds(revised_at), until_s) if isinstance(revised_at, datetime) else until_s
        told: tuple[str, Tone]
        if withdrawn_at is not None:
            told = f"outage {number} withdrawn", "neutral"
        elif ended_at is not None:
            told = f"outage {number} is over: {where}", "good"
        elif before is None:
            told = f"outage {number} found: {where}", "bad"
        else:
            told = f"outage {number} is now: {where}", "warning"
        self._feed.tell(at_s, "head-end", *told, reveals="outages")


def _instant(time_s: int) -> datetime:
    return datetime.fromtimestamp(time_s, UTC)


def _seconds(time: datetime) -> int:
    return int(time.timestamp())
