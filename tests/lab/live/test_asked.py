"""What may be asked of a living lab, and what is chosen where somebody leaves the choice to it."""

from __future__ import annotations

import pytest

from lab.live.asked import Fault


@pytest.mark.parametrize(
    ("device", "customers"), [("transformer", [10, 200]), ("line", [10, 200]), ("service", [1, 1])]
)
def test_a_fault_that_names_no_device_is_drawn_among_those_that_there_are(device: str, customers: list[int]) -> None:
    assert Fault.model_validate({"device": device}).select == {"customers": customers}
