"""What a fleet implies for the window that is judged."""

from __future__ import annotations

import pytest

from lab.errors import UserError
from lab.fleet.plan import LAST_REPORT_S, Vendors

START_S = 1_768_435_200


@pytest.mark.parametrize(
    ("start_s", "duration_s", "aligned", "fits"),
    [
        (START_S, 900, False, True),
        (START_S, 899, False, False),
        (START_S + 1, 900, False, False),
        (START_S + 1, 900, True, True),
        (START_S + 1, 1_799, False, True),
        (START_S + 1, 1_798, False, False),
        (START_S, 10, True, False),
    ],
)
def test_a_window_has_room_for_an_interval(start_s: int, duration_s: int, aligned: bool, fits: bool) -> None:
    vendors = Vendors({"rl-dsp": 1.0})
    if fits:
        vendors.require_an_interval(start_s, duration_s, aligned=aligned)
        return
    with pytest.raises(UserError, match="no interval of 00:15:00 lies whole within"):
        vendors.require_an_interval(start_s, duration_s, aligned=aligned)


@pytest.mark.parametrize(("vendor", "waited_s"), [("sparkplug-plc", 10 * 3_600), ("rl-dsp", 5 * 3_600)])
def test_only_on_a_power_line_a_run_waits_for_who_registers_late(vendor: str, waited_s: int) -> None:
    settled_s = Vendors({vendor: 1.0}).settled_s(START_S + 4 * 3_600, 3_600, registered_s=START_S + 9 * 3_600)
    assert settled_s == START_S + waited_s


def test_a_fleet_of_several_capture_periods_is_judged_by_each() -> None:
    shares = {"rl-dsp": 0.5, "sparkplug-mesh": 0.5}
    assert Vendors(shares).one_interval_s == 900
    vendors = Vendors(shares)
    (quick, share), slow = vendors.mix
    vendors.mix[0] = (quick.at_interval(300), share)
    assert vendors.one_interval_s is None
    assert vendors.longest_interval_s == 900
    assert vendors.intervals_per_s == pytest.approx(0.5 / 300 + 0.5 / 900)
    # Who reports in blocks of four hours is waited for, and not whoever reports each interval.
    assert slow[0].facts.report_every_s == 14_400
    assert vendors.settled_s(START_S + 3_600, 900) == START_S + 14_400 + LAST_REPORT_S
