"""Parameters from outside: what is given is taken, and every fault is named at once."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meters.radio.parameters import NetworkParameters, load_parameters, stated

TECHNOLOGIES = ("mesh", "plc", "cellular", "backhaul", "firmware")
ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.floats(), max_size=25)
)


def test_that_every_parameter_has_a_unit_a_source_and_a_grade() -> None:
    assert tuple(stated()) == TECHNOLOGIES
    for technology, entries in stated().items():
        fields = type(getattr(load_parameters(), technology)).model_fields
        assert tuple(entries) == tuple(fields), technology
        for name, entry in entries.items():
            assert entry.source.strip(), name
            assert not entry.unit or name.endswith(("_s", "_db", "_dbm", "bps", "_bytes", "_m", "_hour")), name


def test_that_a_change_replaces_one_value() -> None:
    changed = load_parameters({"mesh": {"gasp_transmissions": 6}, "plc": {"poll_first_s": 2}})
    assert changed.mesh.gasp_transmissions == 6
    assert changed.plc.poll_first_s == 2.0
    assert changed.cellular == load_parameters().cellular
    assert changed.mesh.model_copy(update={"gasp_transmissions": 3}) == load_parameters().mesh


def test_that_all_faults_are_named_at_once() -> None:
    with pytest.raises(ValueError) as caught:
        load_parameters(
            {
                "mesh": {"hop_transmissions": 0, "colour": "red"},
                "plc": {"noise_db_by_hour": [1.0] * 23},
                "satellite": {},
                "backhaul": 7,
            }
        )
    said = str(caught.value)
    for part in (
        "mesh.hop_transmissions", "mesh.colour: there is no such parameter", "plc.noise_db_by_hour",
        "satellite: there is no such technology", "backhaul: is no table",
    ):  # fmt: skip
        assert part in said, said


@pytest.mark.parametrize(
    ("technology", "changes"),
    [
        ("mesh", {"hop_latency_least_s": 5.0}),
        ("plc", {"rejoin_least_s": 5_000.0}),
        ("cellular", {"attach_wait_first_s": 5_000.0}),
        ("cellular", {"easy_coupling_loss_db": 200.0}),
        ("backhaul", {"latency_most_s": 0.01}),
    ],
)
def test_that_contradictions_are_refused(technology: str, changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="is more than"):
        load_parameters({technology: changes})


def test_that_installers_use_no_link_that_routes_do_not() -> None:
    with pytest.raises(ValueError, match="least_link_success"):
        load_parameters({"mesh": {"least_link_success": 0.1}})


@settings(max_examples=100, deadline=None)
@given(
    technology=st.sampled_from([*TECHNOLOGIES, "satellite"]),
    value=ANYTHING,
    data=st.data(),
)
def test_that_any_value_is_taken_or_refused_with_words(technology: str, value: Any, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([*stated().get(technology, ()), "colour"]))
    said = technology
    try:
        taken = load_parameters({technology: {name: value}})
    except ValueError as fault:
        said = str(fault)
    else:
        kept = getattr(getattr(taken, technology), name)
        assert math.isfinite(kept) if isinstance(kept, int | float) else kept
        assert NetworkParameters.model_validate_json(taken.model_dump_json()) == taken
    assert technology in said


@pytest.mark.parametrize(
    ("technology", "name"), [("cellular", "up_bps"), ("cellular", "messages_per_s"), ("backhaul", "bps")]
)
def test_what_is_divided_by_leaves_instants_that_can_be_reckoned_with(technology: str, name: str) -> None:
    with pytest.raises(ValueError, match=f"{technology}.{name}"):
        load_parameters({technology: {name: 1e-300}})
    load_parameters({technology: {name: 1e-9}})
