"""What parts answer: whatever it is, it has the form that the lab works with, or is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from grid.world import WorldFrame
from lab.errors import PartFailed
from lab.headends.ingest_totals import IngestTotals
from lab.lockstep import answers
from lab.lockstep.link import Reply
from lab.parts.grid import GridPart

FEEDER = "simbench:1-LV-rural1--0-no_sw"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=6,
)
INIT = {"feeder": FEEDER, "flow": "three-phase", "seed": 7, "start_s": 1_772_323_200}
STATS = {
    "messages": 3,
    "rows": 3,
    "busy_s": 0.1,
    "receive_to_commit_ms": {},
    "latency_histogram": {"bins": {"0": 1, "800": 2}, "max_s": 0.1},
}


async def test_what_the_grid_answers_is_an_answer() -> None:
    part = GridPart().handlers()
    begun, _ = await part["init"](INIT, ())
    assert answers.checked(Reply("grid", "init", begun), answers.GridBegun) is begun
    described, _ = await part["describe"]({}, ())
    assert answers.checked(Reply("grid", "describe", described), answers.Described)["geography"] is not None
    advanced, _ = await part["advance"]({"now_s": 1_772_323_200}, ())
    answers.checked(Reply("grid", "advance", advanced), answers.GridAdvanced)


@pytest.mark.parametrize("name", ["usage_points", "largest_w", "phases", "places"])
async def test_a_grid_that_does_not_say_everything_of_each_usage_point_has_failed(name: str) -> None:
    begun, _ = await GridPart().handlers()["init"](INIT, ())
    with pytest.raises(PartFailed, match="grid answered init with what is no such answer"):
        answers.checked(Reply("grid", "init", {**begun, name: begun[name][1:]}), answers.GridBegun)


@pytest.mark.parametrize("bins", [{"801": 1}, {"-1": 1}, {"x": 1}, {"0": -1}, {"0": 2**70}, []])
def test_latencies_that_no_histogram_has_are_refused(bins: object) -> None:
    stats = {**STATS, "latency_histogram": {"bins": bins, "max_s": 0.1}}
    with pytest.raises(PartFailed, match=r"at stats\.latency_histogram"):
        answers.checked(Reply("headend", "stats", {"stats": stats}), answers.HeadStats)


@given(st.sampled_from(sorted(STATS)), JSON)
def test_whatever_the_head_end_says_of_itself_is_refused_or_added_up(name: str, value: object) -> None:
    stats = {**STATS, name: value}
    try:
        answers.HeadStats.model_validate({"stats": stats})
    except ValidationError:
        return
    totals = IngestTotals()
    totals.note("life", stats)
    totals.facts()


@pytest.mark.parametrize("flow", ["three-phase", "balanced"])
async def test_the_grid_solves_the_flow_that_it_is_asked_for_and_says_so(flow: str) -> None:
    part = GridPart().handlers()
    begun, _ = await part["init"]({**INIT, "feeder": "simbench:1-LV-semiurb4--0-sw", "flow": flow}, ())
    told = answers.checked(Reply("grid", "init", begun), answers.GridBegun)
    assert (told["flow"], told["time_zone"]) == (flow, "Europe/Berlin")
    _, (frame,) = await part["advance"]({"now_s": INIT["start_s"]}, ())
    volts = WorldFrame.from_bytes(frame).voltage_v
    assert (np.ptp(volts[(volts > 0).all(axis=1)], axis=1).max() < 1e-6) == (flow == "balanced")
