"""What a fleet implies for the window that is judged."""

from __future__ import annotations

import pytest

from lab.errors import UserError
from lab.fleet.plan import Vendors
from lab.scenario.model import FleetChoice

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
    vendors = Vendors(FleetChoice(profile="rl-dsp"))
    if fits:
        vendors.require_an_interval(start_s, duration_s, aligned=aligned)
        return
    with pytest.raises(UserError, match="no interval of 00:15:00 lies whole within"):
        vendors.require_an_interval(start_s, duration_s, aligned=aligned)
