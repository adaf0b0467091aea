"""The network model: read with every fault, and cut into classes of devices that meters cannot tell apart."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from headend.errors import NetworkModelError
from headend.outages.model import NOBODY, NetworkModel, classes_of, read_network_model
from tests.headend.networks import Radial, radials, street


def document() -> dict[str, Any]:
    return {
        "schema": 1,
        "feeder": "x",
        "devices": [
            {"id": "T1", "kind": "transformer", "parent": None},
            {"id": "L1", "kind": "line", "parent": "T1"},
        ],
        "usage_points": [{"id": "UP1", "device": "L1"}, {"id": "UP2", "device": "T1"}],
    }


def written(directory: Path, content: Any) -> Path:
    path = directory / "network.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def faults(directory: Path, content: Any) -> str:
    with pytest.raises(NetworkModelError) as error:
        read_network_model(written(directory, content))
    return str(error.value)


def test_a_sound_file(tmp_path: Path) -> None:
    model = read_network_model(written(tmp_path, document() | {"exported_by": "GIS 4"}))
    assert model.parents == {"T1": None, "L1": "T1"}
    assert model.kinds["L1"] == "line"
    assert model.feeding == {"UP1": "L1", "UP2": "T1"}


def test_every_fault_is_listed(tmp_path: Path) -> None:
    broken = document()
    broken["devices"] += [
        {"id": "L1", "kind": "line", "parent": "T1"},
        {"id": "L2", "kind": "line", "parent": "nowhere"},
        {"id": "A", "kind": "line", "parent": "B"},
        {"id": "B", "kind": "line", "parent": "C"},
        {"id": "C", "kind": "line", "parent": "A"},
    ]
    broken["usage_points"] += [{"id": "UP1", "device": "T1"}, {"id": "UP3", "device": "gone"}]
    text = faults(tmp_path, broken)
    assert "5 faults" in text
    for said in ("device L1 occurs 2", "parent nowhere", "usage point UP1 occurs 2", "device gone", "A → B → C → A"):
        assert said in text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "the file"),
        ([], "the file"),
        ({"schema": 1, "devices": []}, "usage_points"),
        (document() | {"schema": 2}, "schema is 2"),
        (document() | {"schema": "1"}, "schema"),
        (document() | {"devices": [{"id": "", "kind": 3, "parent": None}, {"id": "x"}]}, "devices.1.parent"),
    ],
)
def test_a_file_that_is_none(tmp_path: Path, content: Any, said: str) -> None:
    assert said in faults(tmp_path, content)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(NetworkModelError, match="No such file"):
        read_network_model(tmp_path / "none.json")


@given(radials())
def test_classes_hold_what_their_devices_darken(radial: Radial) -> None:
    classes = radial.classes
    assert sorted(classes.order.tolist()) == list(range(len(radial.at)))
    assert classes.order[classes.place].tolist() == list(range(len(radial.at)))
    reach: dict[frozenset[int], list[str]] = {}
    for device in range(len(radial.parents)):
        if below := radial.below(device):
            reach.setdefault(below, []).append(f"d{device}")
    with_devices = {
        frozenset(classes.members(index).tolist()): list(devices)
        for index, devices in enumerate(classes.devices)
        if devices
    }
    assert {key: sorted(names) for key, names in with_devices.items()} == {k: sorted(v) for k, v in reach.items()}
    for index, above in enumerate(classes.parent.tolist()):
        assert above < index
        assert above == NOBODY or set(classes.members(index)) < set(classes.members(above))
    for meter, leaf in enumerate(classes.leaf.tolist()):
        assert classes.members(leaf).tolist() == [meter]


def test_only_registered_meters_count() -> None:
    classes = classes_of(street().model, ["UP0", "UP7", "unheard of"])
    sizes = {devices: len(classes.members(index)) for index, devices in enumerate(classes.devices)}
    # With one meter left in it, a section cannot be told from its customer's service.
    assert sizes == {("d0",): 2, ("d1", "d3"): 1, ("d2", "d10"): 1, (): 1}
    assert classes.devices[classes.leaf[2]] == ()


def test_without_a_model_each_meter_stands_by_itself() -> None:
    classes = classes_of(NetworkModel(), ["a", "b"])
    assert classes.devices == ((), ())
    assert classes.parent.tolist() == [NOBODY, NOBODY]
    assert classes.leaf.tolist() == [0, 1]


def test_a_long_string_of_lines_is_no_problem() -> None:
    radial = Radial(parents=tuple(range(-1, 4999)), at=(4999, 2500))
    assert [len(devices) for devices in radial.classes.devices] == [2501, 0, 2499]
