"""Faults of the network: which of them are in force when."""

from __future__ import annotations

import math

import numpy as np
import pytest

from meters.radio.faults import NetworkFault, NetworkFaults
from meters.radio.mesh import Jam

PLACE_M = np.array([3.0, 4.0])


def test_a_fault_is_in_force_from_its_beginning_until_before_its_end() -> None:
    faults = NetworkFaults([NetworkFault(fault="cell-down", from_s=100, until_s=200, cells=("a/1", "a/2"))])
    assert [faults.of_cells(now_s).cells_down for now_s in (99, 100, 199, 200)] == [
        frozenset(), {"a/1", "a/2"}, {"a/1", "a/2"}, frozenset(),
    ]  # fmt: skip
    assert [faults.next_change_s(now_s) for now_s in (0, 99, 100, 199, 200)] == [100, 100, 200, 200, math.inf]


def test_what_others_send_adds_up_in_each_cell() -> None:
    faults = NetworkFaults()
    faults.add(NetworkFault(fault="congestion", from_s=0, until_s=60, cells=("a/1", "a/2"), messages_per_s=10.0))
    faults.add(NetworkFault(fault="congestion", from_s=30, until_s=60, cells=("a/2",), messages_per_s=5.0))
    faults.add(NetworkFault(fault="operator-outage", from_s=30, until_s=60, operators=("a",)))
    assert faults.of_cells(10).loads == {"a/1": 10.0, "a/2": 10.0}
    assert faults.of_cells(30).loads == {"a/1": 10.0, "a/2": 15.0}
    assert (faults.of_cells(10).operators_out, faults.of_cells(30).operators_out) == (frozenset(), frozenset({"a"}))


def test_a_jam_is_of_whole_meshes_or_of_an_area() -> None:
    faults = NetworkFaults(
        [
            NetworkFault(fault="jam", from_s=0, until_s=60, collectors=("COL0001",), strength=0.5),
            NetworkFault(fault="jam", from_s=0, until_s=30, centre_m=(10.0, 20.0), radius_m=5.0),
        ]
    )
    area = Jam((10.0, 20.0), 5.0, 1.0)
    assert faults.jams("COL0001", PLACE_M, 10) == [Jam((3.0, 4.0), math.inf, 0.5), area]
    assert faults.jams("COL0002", PLACE_M, 10) == [area]
    assert faults.jams("COL0002", PLACE_M, 30) == []


def test_telling_a_fault_twice_changes_nothing() -> None:
    """A process that was begun with it may be told of it once more."""
    fault = NetworkFault(fault="congestion", from_s=0, until_s=60, cells=("a/1",), messages_per_s=10.0)
    faults = NetworkFaults([fault])
    faults.add(NetworkFault.model_validate_json(fault.model_dump_json()))
    assert faults.of_cells(0).loads == {"a/1": 10.0}


def test_a_fault_that_is_told_again_ends_as_it_was_told_last() -> None:
    fault = NetworkFault(fault="operator-outage", from_s=10, operators=("a",))
    faults = NetworkFaults([fault])
    assert faults.next_change_s(10) == math.inf
    assert faults.of_cells(10**9).operators_out == {"a"}
    faults.add(fault.model_copy(update={"until_s": 60}))
    assert faults.next_change_s(10) == 60
    assert [faults.of_cells(now_s).operators_out for now_s in (59, 60)] == [{"a"}, frozenset()]


def test_two_faults_of_different_names_that_hit_the_same_end_each_by_itself() -> None:
    both = [
        NetworkFault(fault="cell-down", name=name, from_s=0, until_s=until_s, cells=("a/1",))
        for name, until_s in (("event 1", 90), ("event 2", 60))
    ]
    assert [NetworkFaults(both).of_cells(now_s).cells_down for now_s in (59, 60, 90)] == [
        {"a/1"}, {"a/1"}, frozenset(),
    ]  # fmt: skip


def test_of_many_faults_those_in_force_are_found_once_for_all_meshes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each beginning and end is asked about by every mesh of a process."""
    compared: list[object] = []
    equals = NetworkFault.__eq__

    def noted(one: NetworkFault, other: object) -> bool:
        compared.append(other)
        return equals(one, other)

    monkeypatch.setattr(NetworkFault, "__eq__", noted)
    faults = NetworkFaults()
    for number in range(1_000):
        faults.add(NetworkFault(fault="jam", from_s=number, until_s=number + 1, collectors=("COL0001",)))
    assert len(compared) < 1_000, "no fault is compared with all others"
    for at_s in (3, 7, 3):
        assert [len(faults.jams(name, PLACE_M, at_s)) for name in ("COL0001", "COL0002")] == [1, 0]
    faults.add(NetworkFault(fault="jam", from_s=0, until_s=9, collectors=("COL0002",)))
    assert len(faults.jams("COL0002", PLACE_M, 3)) == 1
