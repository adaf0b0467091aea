"""Which clocks a feeder has, by its scenario or by its coordinates."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from grid.feeder import FeederError, build_feeder, load_feeder
from grid.place import UnknownTimeZoneError, calendar_of, principal_place, time_zone


def test_the_village_has_german_clocks_and_its_own_sun() -> None:
    calendar = load_feeder("schutterwald").calendar
    assert calendar.zone.key == "Europe/Berlin"
    assert (calendar.longitude, calendar.latitude) == pytest.approx((7.88, 48.46), abs=0.02)


def test_a_feeder_without_coordinates_has_the_sun_of_its_zone() -> None:
    german, notices = calendar_of([None, None], None)
    assert german.zone.key == "Europe/Berlin"
    assert (german.longitude, german.latitude) == pytest.approx((13.37, 52.5), abs=0.01)
    assert not notices
    chilean, _ = calendar_of([], "America/Santiago")
    assert chilean.latitude < 0 > chilean.longitude
    assert principal_place(ZoneInfo("Etc/GMT+8")) == (-120.0, 50.0)


def test_coordinates_far_from_germany_give_the_hour_and_ask_for_a_zone() -> None:
    calendar, (notice,) = calendar_of([(-118.2, 34.0)], None)
    assert calendar.zone.key == "Etc/GMT+8"
    assert "UTC-8" in notice
    assert "time_zone" in notice
    assert calendar_of([(151.2, -33.9)], None)[0].zone.key == "Etc/GMT-10"
    assert calendar_of([(-1.0, 52.0)], None)[0].zone.key == "Etc/GMT"


def test_a_zone_that_is_named_counts_and_the_coordinates_give_the_sun() -> None:
    calendar, notices = calendar_of([(-118.2, 34.0), None, (-118.0, 34.2)], "America/Los_Angeles")
    assert (calendar.zone.key, calendar.longitude) == ("America/Los_Angeles", -118.1)
    assert not notices


def test_coordinates_where_the_zone_is_not_are_told_and_left() -> None:
    calendar, (notice,) = calendar_of([(100.0, 50.0)], "Europe/Berlin")
    assert calendar.longitude == pytest.approx(13.37, abs=0.01)
    assert "not where Europe/Berlin is the time" in notice


@pytest.mark.parametrize(
    "name", ["Europe/Atlantis", "", "../../etc/passwd", "CEST", "/etc/localtime", "localtime", "Factory"]
)
def test_a_zone_that_is_none(name: str, net: Any) -> None:
    with pytest.raises(UnknownTimeZoneError):
        time_zone(name)
    with pytest.raises(FeederError, match="there is no time zone"):
        build_feeder("hamlet", net, time_zone=name)
