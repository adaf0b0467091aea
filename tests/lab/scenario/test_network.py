"""The table `[network]` of scenarios, and what the command line says instead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import UserError
from lab.fleet.presets import PRESETS
from lab.scenario.choices import with_choices
from lab.scenario.load import Scenario, bundled_scenarios, load_scenario, parse_scenario
from meters.radio.parameters import NetworkParameters, load_parameters, stated
from tests.lab.scenario.test_scenario import as_toml

HEAD = """
[scenario]
name = "n"
start = 2026-01-15T00:00:00Z
duration = "1h"
seed = 1
[feeder]
name = "schutterwald"
[fleet]
{fleet}
"""


def read(table: str, fleet: str = 'preset = "mesh"') -> Scenario:
    return parse_scenario(HEAD.format(fleet=fleet) + table, "file.toml")


@pytest.mark.parametrize("fleet", [*(f'preset = "{name}"' for name in PRESETS), 'profile = "rl-dsp"', ""])
def test_a_fleet_has_a_network_unless_its_scenario_says_none(fleet: str) -> None:
    network = read("", fleet).network
    assert (network.on, network.overrides()) == (True, {})
    assert read("[network.mesh]\nhop_transmissions = 2\n", fleet).network.on
    assert not read('[network]\nmodel = "none"\n', fleet).network.on


@pytest.mark.parametrize("name", bundled_scenarios())
def test_bundled_scenarios_have_a_network_and_the_command_line_can_do_without(name: str) -> None:
    scenario = load_scenario(name)
    assert scenario.network.on
    assert with_choices(scenario, None, "plc", None).network.on
    assert not with_choices(scenario, None, "plc", None, "none").network.on


def test_any_parameter_can_be_another() -> None:
    network = read(
        '[network]\nmodel = "radio"\n[network.mesh]\nhop_transmissions = 2\npath_loss_exponent = 3\n'
        f"[network.plc]\nnoise_db_by_hour = {[3.0] * 24}\n"
    ).network
    assert network.on
    parameters = load_parameters(network.overrides())
    assert parameters.mesh.hop_transmissions == 2
    assert parameters.mesh.path_loss_exponent == 3.0
    assert parameters.plc.noise_db_by_hour == (3.0,) * 24
    assert parameters.cellular == load_parameters().cellular


def test_each_technology_has_a_table() -> None:
    """Of each parameter there is: what is usual may be said, too."""
    for technology, facts in stated().items():
        for name, fact in facts.items():
            value = list(fact.value) if isinstance(fact.value, tuple) else fact.value
            overrides = read(f"[network.{technology}]\n{name} = {value}\n").network.overrides()
            assert overrides == {technology: {name: value}}
    assert set(stated()) == set(NetworkParameters.model_fields)


def test_every_fault_is_told_with_its_line() -> None:
    with pytest.raises(UserError) as error:
        read(
            '[network]\nmodel = "raido"\nspeed = 1\n[network.mesh]\nhop_transmission = 2\nhop_latency_most_s = -1\n'
            "heal_s = true\n[network.plc]\nnoise_db_by_hour = [1, 2]\n"
        )
    line = HEAD.count("\n")
    faults = error.value.faults
    assert [int(fault.split(",")[1].split(":")[0].removeprefix(" line ")) - line for fault in faults] == [
        2, 3, 5, 6, 7, 9,
    ]  # fmt: skip
    for fault, saying in zip(
        faults,
        ["'radio'", "model, mesh", "Did you mean 'hop_transmissions'?", "greater than", "valid number", "24"],
        strict=True,
    ):
        assert saying in fault


def test_parameters_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(UserError, match=r"cellular\.latency_easy_s is more than cellular\.latency_most_s"):
        read("[network.cellular]\nlatency_easy_s = 100\n")


def test_the_command_line_switches_the_model_and_leaves_the_parameters() -> None:
    scenario = read('[network]\nmodel = "radio"\n[network.backhaul]\nbps = 9600\n')
    off = with_choices(scenario, None, None, None, "none").network
    assert (off.on, off.overrides()) == (False, {"backhaul": {"bps": 9600}})
    assert with_choices(read('[network]\nmodel = "none"\n'), None, None, None, "radio").network.on
    assert with_choices(scenario, None, None, None).network == scenario.network


VALUES = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text("abc", max_size=3),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
NAMES = st.sampled_from(["hop_transmissions", "noise_db_by_hour", "spacing_m", "bps", "x"])


@given(st.sampled_from([*NetworkParameters.model_fields, "x"]), st.dictionaries(NAMES, VALUES, min_size=1))
def test_any_values_are_parameters_or_a_user_error(technology: str, values: dict[str, object]) -> None:
    lines = "".join(f"{name} = {as_toml(value)}\n" for name, value in values.items())
    faults: list[str] = []
    try:
        load_parameters(read(f"[network.{technology}]\n{lines}").network.overrides())
    except UserError as error:
        faults = list(error.faults)
    assert all(fault.startswith("file.toml, line ") for fault in faults)
