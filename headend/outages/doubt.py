"""Which interruptions a meter is believed. Pure; all times are epoch s.

A meter speaks for itself only, and however much it invents, it costs the detector no more than the worst storm would:
so many interruptions in 24 hours, so many within the horizon, none in the future or beyond it, none that contradicts
what it said before. What is not believed is kept with its reason, and counts in no outage and no index.
"""

from collections.abc import Iterable
from dataclasses import dataclass

#: Nobody looks further back: for longer no meter remembers its events, and no outage without an end is followed.
HORIZON_S = 40 * 86_400
DAY_S = 86_400
#: A recloser makes two or three interruptions of one fault; this is more than a dozen faults in one day.
MOST_A_DAY = 40
#: A year's interruptions on the worst of feeders, within 40 days.
MOST_IN_ALL = 120

AHEAD_OF_CLOCK = "ahead_of_clock"
TOO_OLD = "too_old"
OVERLAPS = "overlaps"
CONTRADICTS = "contradicts"
TOO_MANY = "too_many"


@dataclass(slots=True)
class _Loss:
    down_s: float
    up_s: float | None


class Beliefs:
    """What is believed of each meter. Memory is bounded: MOST_IN_ALL losses of each.

    `together_s`: instants so close by a meter's clock are one. `ahead_s`: by how much a meter's clock may be fast.
    """

    def __init__(self, *, together_s: float, ahead_s: float) -> None:
        self._together_s = together_s
        self._ahead_s = ahead_s
        self._losses: dict[int, list[_Loss]] = {}

    def restore(self, losses: Iterable[tuple[int, float, float | None]]) -> None:
        """Take over from an earlier life: (meter, lost, back) that were believed, the latest first."""
        for meter, down_s, up_s in losses:
            known = self._losses.setdefault(meter, [])
            if len(known) < MOST_IN_ALL:
                known.append(_Loss(down_s, up_s))

    def doubt(self, meter: int, down_s: float, up_s: float | None, now_s: float) -> str | None:
        """Why a loss of supply, or its end, is not believed; None if it is, and then it is remembered."""
        if max(down_s, up_s or down_s) > now_s + self._ahead_s:
            return AHEAD_OF_CLOCK
        if down_s < now_s - HORIZON_S:
            return TOO_OLD
        known = self._losses.setdefault(meter, [])
        known[:] = [loss for loss in known if loss.down_s >= now_s - HORIZON_S]
        same = next((loss for loss in known if loss.down_s == down_s), None)
        if same is not None and same.up_s is not None and up_s is not None and abs(same.up_s - up_s) > self._together_s:
            return CONTRADICTS
        end_s = up_s if up_s is not None else down_s
        for loss in known:
            if abs(loss.down_s - down_s) > self._together_s and self._overlap(loss, down_s, end_s):
                return OVERLAPS
        if same is not None:
            same.up_s = up_s if same.up_s is None else same.up_s
            return None
        of_a_day = sum(abs(loss.down_s - down_s) < DAY_S / 2 for loss in known)
        if len(known) >= MOST_IN_ALL or of_a_day >= MOST_A_DAY:
            return TOO_MANY
        known.append(_Loss(down_s, up_s))
        return None

    def _overlap(self, loss: _Loss, down_s: float, end_s: float) -> bool:
        """Whether both cannot be true. A loss without an end is over when the next one begins."""
        last_s = loss.down_s if loss.up_s is None else loss.up_s
        if last_s == loss.down_s or end_s == down_s:
            point_s, from_s, to_s = (
                (loss.down_s, down_s, end_s) if last_s == loss.down_s else (down_s, loss.down_s, last_s)
            )
            return from_s + self._together_s < point_s < to_s - self._together_s
        return max(loss.down_s, down_s) < min(last_s, end_s) - self._together_s
