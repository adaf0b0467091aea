"""What a driver of somebody else's makes of a message, and what the intake makes of that."""

from dataclasses import replace
from unittest.mock import Mock

import pytest

from headend.drivers import DecodeError, MqttTopic, driver_for
from headend.links.direct.intake import DirectIntake
from headend.reads.record import Recorder
from headend.reads.reported import ReportedRegisters
from headend.registry import EndDevice
from headend.store.batch import Batch
from tests.headend.fleet import START_S
from tests.headend.reads.test_reported import SETTINGS


@pytest.mark.parametrize("said", [None, {"import_wh": 1}, [3.5], [[b"x"]]])
def test_what_is_no_record_costs_one_message(said: object) -> None:
    driver = replace(driver_for("rl-dsp"), mqtt={"ds": MqttTopic(lambda _payload: said)})  # type: ignore[arg-type,return-value]  # that is it
    device = EndDevice(0, 1, "A1", "UP1", "test", driver, START_S)
    reported = ReportedRegisters(SETTINGS, [])
    intake = DirectIntake(SETTINGS, [device], Mock(spec=Recorder), reported=reported, on_fence=lambda _token: None)
    with pytest.raises(DecodeError, match="the driver of rl-dsp makes a") as error:
        intake.receive(Batch(), "dt/test/A1/ds", b"", START_S)
    assert error.value.reason == "no_record"
