"""What load-test meters say is what the head-end's drivers understand, and what the judge expects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headend.drivers.rl_dsp.wire import decode_reading
from loadtests import readings
from loadtests.duties import Duty, Kind
from loadtests.leases import Leases, NoneLeft
from loadtests.ledger import Ledger
from loadtests.plan import Broker, Gateway, Plan, Station, read_plan
from loadtests.shapes import Shape, Storm
from meters.vendors.rl_dsp import wire as rl_dsp


@given(st.integers(0, 1_000_000), st.integers(-5_000, 1_000_000))
def test_a_reading_decodes_to_the_energy_that_the_judge_expects(meter: int, number: int) -> None:
    reading = decode_reading(rl_dsp.reading(readings.record(meter, number, 1_768_435_200), 900).payload)
    assert reading.complete
    expected = readings.import_wh(np.array([meter]), np.array([number]))
    assert reading.import_wh == expected[0]


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    plan = Plan(
        group="g",
        shape=Shape("s", ((0.0, 0.5), (10.0, 1.0)), Storm(1.0, 2.0, 3.0)),
        period_s=0.5,
        interval_s=900,
        block=16,
        first_interval_s=1_768_435_200,
        serials=("A1", "A2"),
        broker=Broker("127.0.0.1", 1883, "/ca", "/identities"),
        meters=(Station("A1", "u", "p", (0,), "rl-dsp"),),
        gateways=(Gateway("127.0.0.1", 502, 1, ((4, 0, 80),)),),
    )
    path = plan.write(tmp_path / "load")
    assert path.stat().st_mode & 0o777 == 0o600, "it holds passwords"
    assert read_plan(path) == plan


def test_an_identity_is_taken_once_until_it_is_given_back(tmp_path: Path) -> None:
    here, there = Leases(tmp_path), Leases(tmp_path)
    assert {here.take(["a", "b"]), there.take(["a", "b"])} == {0, 1}
    with pytest.raises(NoneLeft):
        here.take(["a", "b"])
    there.give_back("a")
    assert here.take(["a", "b"]) == 0


def test_a_ledger_says_how_late_it_was(tmp_path: Path) -> None:
    ledger = Ledger()
    for late_s in (0.0, 1.0):
        ledger.done(ledger.sent(Duty(5.0, 1, Kind.READING, 0), 100.0, 100.0 + late_s), 102.0)
    assert ledger.recent_lag_s() == pytest.approx(0.95)
    assert ledger.acknowledged == 2
