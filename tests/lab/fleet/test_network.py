"""Where meters stand for their communications network."""

from __future__ import annotations

import numpy as np
import pytest

from lab.fleet.geography import Place
from lab.fleet.network import network_setup, positions_m

START_S = 1_768_435_200
"""2026-01-15T00:00:00Z: winter time."""


def test_places_are_metres_apart() -> None:
    # A second of arc of latitude is 30.9 m; of longitude, at 48.5 degrees, 20.5 m.
    second = 1 / 3600
    found = positions_m([Place(7.9, 48.5, "T"), Place(7.9 + second, 48.5, "T"), Place(7.9, 48.5 + second, "U")])
    apart = np.hypot(*(found[1:] - found[0]).T)
    assert apart == pytest.approx([20.5, 30.9], rel=0.01)


def test_who_has_no_coordinates_stands_in_a_row_for_each_transformer() -> None:
    nowhere = [Place(None, None, name) for name in "TUTT"]
    assert positions_m(nowhere).tolist() == [[0, -300], [0, -600], [30, -300], [60, -300]]
    mixed = positions_m([Place(7.9, 48.5, "T"), Place(7.91, 48.51, "T"), Place(None, None, "T")])
    assert mixed[2, 1] <= mixed[:2, 1].min() - 300


def test_local_hours_and_parameters_are_those_of_the_scenario() -> None:
    setup = network_setup(
        [Place(None, None, "T")], {"mesh": {"end_to_end_tries": 2}}, time_zone="Europe/Berlin", start_s=START_S
    )
    assert setup.utc_offset_s == 3600
    assert setup.parameters.mesh.end_to_end_tries == 2
    with pytest.raises(ValueError, match="no such parameter"):
        network_setup([Place(None, None, "T")], {"mesh": {"tries": 2}}, time_zone="UTC", start_s=START_S)
