"""Events of single phases: checked like those of supply, and no interruptions."""

from typing import Any

import pytest

from headend.drivers import DecodeError
from headend.drivers.event_log import end_device_event

DOWN, UP = "2026-01-15T06:00:00+00:00", "2026-01-15T07:00:00+00:00"


def decoded(code: str, **detail: Any) -> Any:
    return end_device_event(device_time_s=1_768_456_800, sequence=3, code=code, detail=detail)


def test_a_lost_phase_is_an_event_and_no_loss_of_supply() -> None:
    loss = decoded("phase_loss", phase="L2", down_at=DOWN)
    back = decoded("phase_restored", phase="L2", down_at=DOWN, up_at=UP)
    for event in (loss, back):
        assert (event.down_s, event.up_s, event.restored) == (None, None, False)
    assert loss.detail_json == '{"phase":"L2","down_at":"2026-01-15T06:00:00+00:00"}'


@pytest.mark.parametrize(
    ("code", "detail", "reason"),
    [
        ("phase_loss", {"down_at": DOWN}, "bad_value"),
        ("phase_loss", {"phase": "N", "down_at": DOWN}, "bad_value"),
        ("phase_loss", {"phase": ["L1"], "down_at": DOWN}, "bad_value"),
        ("phase_loss", {"phase": "L1"}, "bad_time"),
        ("phase_loss", {"phase": "L1", "down_at": "yesterday"}, "bad_time"),
        ("phase_restored", {"phase": "L1", "down_at": DOWN}, "bad_time"),
        ("phase_restored", {"phase": "L1", "down_at": UP, "up_at": DOWN}, "bad_value"),
    ],
)
def test_what_is_no_event_of_a_phase_is_refused(code: str, detail: dict[str, Any], reason: str) -> None:
    with pytest.raises(DecodeError) as error:
        decoded(code, **detail)
    assert error.value.reason == reason
