from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from meters.device.demand import MaximumDemand
from meters.device.state import METER_STATE

ROW = np.array([0])


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def test_a_billing_period_ends_with_the_month_and_the_interval_that_ends_then_belongs_to_it() -> None:
    demand = MaximumDemand(np.zeros(1, dtype=METER_STATE))
    demand.begin(at("2026-01-30T00:00"))
    shown = []
    for watts, ended in (
        (900.0, "2026-01-31T23:45"),
        (1000.0, "2026-02-01T00:00"),
        (400.0, "2026-02-01T00:15"),
        (300.0, "2026-02-01T00:30"),
    ):
        demand.close(ROW, np.array([watts]), np.array([at(ended)]))
        most_w, at_s = demand.shown(ROW)
        shown.append((int(most_w[0]), int(at_s[0])))
    assert shown == [
        (900, at("2026-01-31T23:45")),
        (1000, at("2026-02-01T00:00")),
        (400, at("2026-02-01T00:15")),
        (400, at("2026-02-01T00:15")),
    ]
