"""Whatever is done to the tables of a saved net: it is a feeder that runs, or it is refused, and nothing else."""

from __future__ import annotations

import copy
import functools
import json
import math
from pathlib import Path
from typing import Any

import pandapower as pp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grid.demand import Demand
from grid.feeder import FeederError, load_feeder
from grid.geography import geography
from grid.network_model import network_model, write_network_model
from grid.powerflow import PowerFlowError
from grid.simulation import GridSimulation
from headend.outages.model import read_network_model
from tests.grid.conftest import START_S, hamlet_net

NUMBERS = [-math.inf, -(2.0**63), -1e9, -1, -0.5, -1e-320, 0, 1e-320, 0.5, 1, 2, 99, 1e5, 1e9, 2**63, 10**30, 1e308]
CELLS: list[Any] = [
    *NUMBERS,
    *(None, math.nan, math.inf, True, False, [], [1], {}),
    *("", "x", "0.4", "l", "t", "b", "t3", "Ratio", "Ideal", "Symmetrical", "Tabular", "hv", "lv"),
    *('{"type": "Point"}', "[1, 2]", '{"type": "MultiLineString", "coordinates": 3}', '{"coordinates": [1e400, 2]}'),
    {"_module": "numpy", "_class": "float64", "_object": "1"},
]
CELL = st.sampled_from(CELLS)
Table = dict[str, Any]


@functools.cache
def rich_hamlet() -> dict[str, Table]:
    """Table name → content, of a net in which every table that is read has rows."""
    net = hamlet_net()
    pp.create_sgen(net, 5, p_mw=0.003, name="roof", type="PV")
    pp.create_sgen(net, 0, p_mw=0.003, name="mill")
    pp.create_storage(net, 5, p_mw=0.001, max_e_mwh=1)
    pp.create_shunt(net, 0, q_mvar=0.001)
    pp.create_motor(net, 1, 0.001, 0.9)
    pp.create_load(net, 0, p_mw=0.01)
    pp.create_switch(net, 0, 0, et="t")
    pp.create_switch(net, 3, pp.create_bus(net, 0.4, name="e"), et="b")
    stored = json.loads(pp.to_json(net))["_object"]
    tables = {
        name: json.loads(table["_object"])
        for name, table in stored.items()
        if isinstance(table, dict) and "_class" in table
    }
    return {name: table for name, table in tables.items() if table.get("data")}


@st.composite
def damaged(draw: st.DrawFn) -> dict[str, Any]:
    """A saved net to which something was done, as its JSON."""
    tables: dict[str, Any] = copy.deepcopy(rich_hamlet())
    scalars: dict[str, Any] = {"version": pp.__version__, "f_hz": 50.0, "sn_mva": 1.0}
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from(sorted(tables)))
        table = tables[name]
        if not isinstance(table, dict) or not table["data"] or not table["columns"]:
            continue
        column = draw(st.integers(0, len(table["columns"]) - 1))
        row = draw(st.integers(0, len(table["data"]) - 1))
        match draw(
            st.sampled_from(["cell"] * 6 + ["column", "drop", "rename", "index", "double", "empty", "lose", "scalar"])
        ):
            case "cell":
                table["data"][row][column] = draw(CELL)
            case "column":
                value = draw(CELL)
                for cells in table["data"]:
                    cells[column] = value
            case "drop":
                for cells in (table["columns"], *table["data"]):
                    cells.pop(column)
            case "rename":
                table["columns"][column] = draw(st.sampled_from([*table["columns"], "x", "tp_pos", "p_kw", 7]))
            case "index":
                table["index"][row] = draw(st.one_of(CELL, st.sampled_from(table["index"])))
            case "double":
                table["data"].append(list(table["data"][row]))
                table["index"].append(1000 + len(table["index"]))
            case "empty":
                table["data"], table["index"] = [], []
            case "lose":
                tables[name] = draw(st.one_of(st.none(), CELL))
            case _:
                key = draw(st.sampled_from(["version", "format_version", "f_hz", "sn_mva", "name"]))
                scalars[key] = draw(st.one_of(CELL, st.sampled_from(["1.5.0", "2.0.0", "2.14.0", "3.0.0", "99"])))
    frames = {
        name: {"_module": "pandas.core.frame", "_class": "DataFrame", "_object": json.dumps(table), "orient": "split"}
        if isinstance(table, dict)
        else table
        for name, table in tables.items()
    }
    return {"_module": "pandapower.auxiliary", "_class": "pandapowerNet", "_object": {**frames, **scalars}}


def runs_or_is_refused(tmp_path: Path, document: dict[str, Any]) -> None:
    path = tmp_path / "net.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    try:
        feeder = load_feeder(f"file:{path}")
        simulation = GridSimulation(feeder, Demand.draw(feeder, seed=7), start_s=START_S)
        frame = simulation.advance(START_S)
    except (FeederError, PowerFlowError):
        return
    assert frame is not None
    write_network_model(tmp_path / "network.json", network_model(feeder))
    assert len(read_network_model(tmp_path / "network.json").feeding) == len(feeder.usage_points)
    json.dumps(geography(feeder), allow_nan=False)


SHARED_DIRECTORY = [HealthCheck.function_scoped_fixture]


@settings(max_examples=30, deadline=None, suppress_health_check=SHARED_DIRECTORY)
@given(damaged())
def test_a_damaged_net_runs_or_is_refused(tmp_path: Path, document: dict[str, Any]) -> None:
    runs_or_is_refused(tmp_path, document)


@pytest.mark.long
@pytest.mark.timeout(1_800)
@settings(max_examples=1_000, deadline=None, suppress_health_check=SHARED_DIRECTORY)
@given(damaged())
def test_a_thousand_damaged_nets_run_or_are_refused(tmp_path: Path, document: dict[str, Any]) -> None:
    runs_or_is_refused(tmp_path, document)


@settings(max_examples=60, deadline=None, suppress_health_check=SHARED_DIRECTORY)
@given(st.data())
def test_a_file_that_is_cut_off_or_overwritten_is_refused(tmp_path: Path, data: st.DataObject) -> None:
    whole = json.dumps(
        {"_class": "pandapowerNet", "_object": {name: {"_object": table} for name, table in rich_hamlet().items()}}
    )
    cut = data.draw(st.integers(0, len(whole) - 1))
    content = whole[:cut].encode() + data.draw(st.binary(max_size=20))
    path = tmp_path / "net.json"
    path.write_bytes(content)
    with pytest.raises(FeederError):
        load_feeder(f"file:{path}")
