"""Events that cannot happen to the run that is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import UserError
from lab.run.refused_events import refuse_faults_of_no_network
from lab.run.request import RunRequest
from lab.scenario.choices import with_choices
from lab.scenario.load import parse_scenario

SCENARIO = """\
[scenario]
name = "n"
start = 2026-01-15T00:00:00Z
duration = "4h"
seed = 1
[feeder]
name = "schutterwald"
[fleet]
preset = "mesh"
[[event]]
at = "01:00:00"
kind = "network"
fault = "jam"
duration = "30min"
"""


def test_a_fault_of_a_network_that_is_not_modelled_is_refused_with_what_to_do(tmp_path: Path) -> None:
    given = parse_scenario(SCENARIO, "file.toml")
    refuse_faults_of_no_network(RunRequest(given, tmp_path))
    scenario = with_choices(given, None, None, None, "none")
    with pytest.raises(UserError) as error:
        refuse_faults_of_no_network(RunRequest(scenario, tmp_path))
    assert error.value.faults == ("event in line 10 is a jam of the network, and none is modelled",)
    assert "--network none" in str(error.value.hint)
