"""The head-end as a part: what the environment sets wrongly is told, and does not crash it."""

from __future__ import annotations

import pytest

from lab.errors import UserError
from lab.parts.headend import HeadPart


async def test_bad_settings_of_the_environment_are_told_by_the_names_of_their_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AMILAB_HEADEND_LOG_LEVEL", "loud")
    monkeypatch.setenv("AMILAB_HEADEND_METRICS_PORT", "70000")
    settings = {"database_url": "postgresql://", "group": "g1", "shipment": "s.csv", "command_key": "k"}
    with pytest.raises(UserError) as error:
        await HeadPart().init({"settings": settings, "wall_clock": False, "now_s": 0}, [])
    assert [fault.split(":")[0] for fault in error.value.faults] == [
        "AMILAB_HEADEND_METRICS_PORT",
        "AMILAB_HEADEND_LOG_LEVEL",
    ]
    assert "environment" in str(error.value.hint)
