"""Settings of the lab in containers: every fault at once, and in words."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.containers.settings import parse_memory, parse_settings, read_settings
from lab.errors import UserError

GOOD = {"AMILAB_UID": "1000", "AMILAB_GID": "1000"}


def test_defaults_fit_each_other() -> None:
    settings = parse_settings(GOOD, ".env")
    assert settings.meters_per_container == 500
    assert settings.broker_address in settings.metering_subnet


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"AMILAB_BROKER_ADDRESS": "10.0.0.1"}, "AMILAB_BROKER_ADDRESS is not in AMILAB_METERING_SUBNET"),
        ({"AMILAB_BROKER_ADDRESS": "198.18.100.1"}, "AMILAB_BROKER_ADDRESS is in AMILAB_METERING_RANGE"),
        ({"AMILAB_METERING_RANGE": "10.0.0.0/16"}, "AMILAB_METERING_RANGE is not in AMILAB_METERING_SUBNET"),
        ({"AMILAB_LAB_SUBNET": "198.18.64.0/20"}, "overlap"),
        ({"AMILAB_METERS_MEMORY": "100m", "METERS_PER_CONTAINER": "1000"}, "too little for METERS_PER_CONTAINER=1000"),
        ({"AMILAB_METERS_MEMORY": "1x"}, "must be a size such as 512m or 2g"),
        ({"AMILAB_PROJECT": "My Lab"}, "AMILAB_PROJECT=My Lab: "),
        ({"AMILAB_UID": "0"}, "AMILAB_UID"),
    ],
)
def test_what_does_not_fit_is_named(values: dict[str, str], said: str) -> None:
    with pytest.raises(UserError, match=said) as refused:
        parse_settings({**GOOD, **values}, ".env")
    hint = refused.value.hint or ""
    assert "compose/README.md" in hint
    assert "compose init" not in hint, "it is there, and wrong"


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(UserError) as refused:
        parse_settings({"AMILAB_LINK_PORT": "0", "METERS_PER_CONTAINER": "few"}, ".env")
    assert len(refused.value.faults) == 4
    assert any("AMILAB_UID is missing" in fault for fault in refused.value.faults)
    assert (refused.value.hint or "").count("compose init") == 1


def test_the_environment_goes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("AMILAB_UID=1000\nAMILAB_GID=1000\nMETERS_PER_CONTAINER=500\n")
    assert read_settings(tmp_path).meters_per_container == 500
    monkeypatch.setenv("METERS_PER_CONTAINER", "20")
    assert read_settings(tmp_path).meters_per_container == 20


@given(st.integers(0, 2**20), st.sampled_from(["", "b", "k", "m", "g", "kb", "MB", "G"]))
def test_memory_is_as_docker_reads_it(number: int, unit: str) -> None:
    factor = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30}[unit.lower().removesuffix("b") or unit.lower()]
    assert parse_memory(f"{number}{unit}") == number * factor
