"""The file of a load test: defaults, and faults with their lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import UserError
from lab.loadtest.settings import load_settings, parse_settings


def test_the_bundled_file_has_every_shape() -> None:
    assert set(load_settings().shapes) == {"ramp", "plateau", "spike", "storm", "backfill"}


def test_what_a_file_does_not_say_is_the_bundled_files() -> None:
    own = parse_settings("[load]\nmeters = 5\n[shape.mine]\ncorners = [[0, 1], [3, 1]]\n", "mine.toml")
    bundled = load_settings()
    assert own.load.meters == 5
    assert own.load.period_s == bundled.load.period_s
    assert set(own.shapes) == {*bundled.shapes, "mine"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[load]\nmeters = 0", "line 2: load.meters is 0"),
        ("\n[loads]\n", "line 2: there is no table [loads]"),
        ("[load]\nspeed = 1", "line 2: load.speed is unknown"),
        ("[shape.x]\nstorm = {}", "shape.x.corners is missing"),
        (
            "[shape.x]\ncorners = [[0, 1], [5, 1]]\nstorm = { at_s = 3, gather_s = 1, dark_s = 9 }",
            "storm of the shape x",
        ),
        ("[shape.find-knee]\ncorners = [[0, 1], [5, 1]]", "no shape can be called find-knee"),
        ("objectives = 3", "write it as a table [objectives]"),
        ("[objectives]\nlost = -1", "objectives.lost is -1"),
        ("[knee]\nfactor = 1", "knee.factor is 1"),
        ("[load", "not valid TOML"),
    ],
)
def test_faults_say_where_they_are(text: str, fault: str) -> None:
    with pytest.raises(UserError) as refused:
        parse_settings(text, "mine.toml")
    assert fault in str(refused.value)


def test_an_absent_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        load_settings(tmp_path / "none.toml")
