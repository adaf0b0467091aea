"""The four-wire solver against circuits that can be reckoned by hand, and against OpenDSS."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from grid.four_wire import (
    NEUTRAL,
    FourWire,
    Island,
    IslandFlow,
    Loads,
    NoSolutionError,
    cable_ohm,
    earth_return_ohm_per_km,
    sequence_ohm,
)

NOMINAL_V = 400.0 / np.sqrt(3.0)
ABC = np.exp(-2j * np.pi / 3 * np.arange(3))
EMF_V = NOMINAL_V * ABC
Z1, Z0 = 0.2 + 0.08j, 0.8 + 0.32j


def chain(
    *,
    buses: int = 3,
    z1: complex = Z1,
    z0: complex = Z0,
    source: complex = 1e-6,
    opened: tuple[tuple[int, int], ...] = (),
    electrodes: dict[int, float] | None = None,
    mutual: complex = 0.0,
) -> Island:
    """Buses in a row. `opened`: (branch, conductor)."""
    starts = np.arange(buses - 1)
    closed = np.ones((buses - 1, 4), dtype=bool)
    for branch, conductor in opened:
        closed[branch, conductor] = False
    z = np.full(buses - 1, 1.0 + 0j)
    nothing = np.zeros(0, dtype=np.intp)
    rods = electrodes or {}
    return Island(
        buses=buses,
        branch_from=starts,
        branch_to=starts + 1,
        branch_ohm=cable_ohm(z * z1, z * z0, mutual),
        branch_closed=closed,
        link_from=nothing,
        link_to=nothing,
        link_closed=np.zeros((0, 4), dtype=bool),
        source=0,
        source_ohm=sequence_ohm(source, source),
        electrode_bus=np.array(list(rods), dtype=np.intp),
        electrode_ohm=np.array(list(rods.values()), dtype=np.float64),
    )


def loads(*each: tuple[int, int, complex]) -> Loads:
    bus, phase, power = zip(*each, strict=True)
    return Loads(np.array(bus), np.array(phase), np.array(power, dtype=complex), np.full(len(each), NOMINAL_V))


def resistance(power_w: float) -> float:
    return float(NOMINAL_V**2 / power_w)


def solve(island: Island, of: Loads, emf: NDArray[np.complex128] = EMF_V) -> IslandFlow:
    return FourWire(island).solve(emf, of)


def test_two_resistors_share_the_line_voltage_when_their_neutral_is_lost() -> None:
    """The house fire of every electrician's school: 1 kW and 4 kW in series on 400 V."""
    flow = solve(chain(buses=2, z1=1e-9, z0=4e-9, opened=((0, NEUTRAL),)), loads((1, 0, 1000.0), (1, 1, 4000.0)))
    assert np.abs(flow.load_v) == pytest.approx([400.0 * 4 / 5, 400.0 / 5], rel=1e-6)
    current_a = 400.0 / (resistance(1000.0) + resistance(4000.0))
    assert flow.load_va.real == pytest.approx([320.0 * current_a, 80.0 * current_a], rel=1e-6)


def test_three_resistors_on_a_lost_neutral_follow_millman() -> None:
    powers = np.array([800.0, 2500.0, 1200.0])
    flow = solve(
        chain(buses=2, z1=1e-9, z0=4e-9, opened=((0, NEUTRAL),)),
        loads(*((1, phase, power) for phase, power in enumerate(powers))),
    )
    conductance = powers / NOMINAL_V**2
    star = (EMF_V * conductance).sum() / conductance.sum()
    assert flow.load_v == pytest.approx(EMF_V - star, rel=1e-6)


def test_a_single_load_drops_its_voltage_over_phase_and_neutral() -> None:
    """Z of the loop is Z1 + Z_N = Z1 + (Z0 - Z1) / 3; a quadratic gives the voltage at the load."""
    loop = 0.2 + 0.2
    flow = solve(chain(buses=2, z1=0.2, z0=0.8, source=1e-12), loads((1, 0, 3000.0)))
    expected_v = (NOMINAL_V + np.sqrt(NOMINAL_V**2 - 4 * loop * 3000.0)) / 2
    assert abs(flow.load_v[0]) == pytest.approx(expected_v, rel=1e-9)
    assert flow.load_va[0] == pytest.approx(3000.0, abs=1e-5)
    # The neutral at the house is lifted by the current's way back.
    assert abs(flow.voltage_v[1, NEUTRAL]) == pytest.approx(3000.0 / expected_v * 0.2, rel=1e-9)


def test_a_dead_phase_takes_nothing_and_feeds_nothing() -> None:
    island = chain(opened=((1, 1),))
    flow = solve(island, loads((2, 0, 500.0), (2, 1, 1500.0), (1, 1, 700.0), (2, 2, -900.0)))
    assert flow.load_va[1] == pytest.approx(0.0, abs=1e-3)
    assert abs(flow.load_v[1]) < 1.0
    assert flow.load_va[[0, 2, 3]] == pytest.approx([500.0, 700.0, -900.0], abs=1e-5)


def test_what_feeds_in_without_a_neutral_is_off() -> None:
    flow = solve(chain(opened=((1, NEUTRAL),)), loads((2, 0, -3000.0), (2, 1, 1000.0), (2, 2, 1000.0)))
    assert flow.load_va[0] == 0.0
    # Two equal resistors share the 400 V between L2 and L3.
    assert np.abs(flow.load_v[1:]) == pytest.approx([200.0, 200.0], rel=1e-2)


def test_energy_is_conserved() -> None:
    island = chain(source=0.01 + 0.03j, opened=((1, NEUTRAL),))
    flow = solve(island, loads((1, 0, 800 + 100j), (2, 0, 900.0), (2, 1, 300 + 50j), (2, 2, 1300.0)))
    given = flow.source_va.sum()
    lost = 0.0
    for branch in range(2):
        drop = flow.voltage_v[branch] - flow.voltage_v[branch + 1]
        closed = island.branch_closed[branch]
        current = np.linalg.solve(island.branch_ohm[branch][np.ix_(closed, closed)], drop[closed])
        lost += (drop[closed] * np.conj(current)).sum()
    assert given == pytest.approx(flow.load_va.sum() + lost, abs=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_with_healthy_conductors_it_is_the_three_wire_model(seed: int) -> None:
    """Kron-reduced by hand: phases of self (2 Z1 + Z0) / 3 and mutual (Z0 - Z1) / 3, each load to a firm neutral."""
    rng = np.random.default_rng(seed)
    buses = 12
    parents = np.array([rng.integers(0, bus) for bus in range(1, buses)])
    z1 = rng.uniform(0.01, 0.06, buses - 1) * (1 + 0.4j)
    z0 = z1 * rng.uniform(2.5, 4.0, buses - 1)
    bus, phase = (each.ravel() for each in np.meshgrid(np.arange(1, buses), np.arange(3), indexing="ij"))
    power = rng.uniform(-800.0, 2500.0, len(bus)) * (1 + 0.3j)
    nothing = np.zeros(0, dtype=np.intp)
    cables = cable_ohm(z1.astype(np.complex128), z0.astype(np.complex128))
    source = sequence_ohm(0.008 + 0.03j, 0.008 + 0.028j)
    island = Island(
        buses, parents, np.arange(1, buses), cables, np.ones((buses - 1, 4), dtype=bool),
        nothing, nothing, np.zeros((0, 4), dtype=bool), 0, source, nothing, np.zeros(0),
    )  # fmt: skip
    flow = solve(island, Loads(bus, phase, power.astype(np.complex128), np.full(len(bus), NOMINAL_V)))

    y = np.zeros((3 * buses, 3 * buses), dtype=complex)
    y[:3, :3] += np.linalg.inv(source)
    for branch, (start, end) in enumerate(zip(parents, range(1, buses), strict=True)):
        inverse = np.linalg.inv(sequence_ohm(z1[branch], z0[branch]))
        for one, other, sign in ((start, start, 1), (end, end, 1), (start, end, -1), (end, start, -1)):
            y[3 * one : 3 * one + 3, 3 * other : 3 * other + 3] += sign * inverse
    inject = np.zeros(3 * buses, dtype=complex)
    inject[:3] = np.linalg.solve(source, EMF_V)
    voltage = np.tile(EMF_V, buses)
    for _ in range(100):
        drawn = inject.copy()
        np.subtract.at(drawn, 3 * bus + phase, np.conj(power / voltage[3 * bus + phase]))
        voltage = np.linalg.solve(y, drawn)
    assert np.abs(flow.load_v - voltage[3 * bus + phase]).max() / NOMINAL_V < 4e-13


def test_a_loop_keeps_supply_over_its_other_side() -> None:
    """Ring of three buses; L1 of one side is open: the current goes the other way round."""
    nothing = np.zeros(0, dtype=np.intp)
    closed = np.ones((3, 4), dtype=bool)
    closed[2, 0] = False
    ring = Island(
        3, np.array([0, 1, 0]), np.array([1, 2, 2]), cable_ohm(np.full(3, 0.1 + 0j), np.full(3, 0.4 + 0j)), closed,
        nothing, nothing, np.zeros((0, 4), dtype=bool), 0, sequence_ohm(1e-9, 1e-9), nothing, np.zeros(0),
    )  # fmt: skip
    four = FourWire(ring)
    assert four.live(np.array([2]), np.array([0])).all()
    flow = four.solve(EMF_V, loads((2, 0, 2000.0)))
    # Out over 0.2 ohm, back over 0.1 || 0.2 of the neutral.
    assert abs(flow.load_v[0]) == pytest.approx((NOMINAL_V + np.sqrt(NOMINAL_V**2 - 4 * 0.8 / 3 * 2000)) / 2, rel=1e-6)


def test_a_fuse_between_bus_and_service_opens_one_conductor() -> None:
    one = np.array([0]), np.array([1])
    closed = np.array([[True, True, True, False]])
    island = Island(
        2, *(np.zeros(0, dtype=np.intp),) * 2, np.zeros((0, 4, 4), dtype=complex), np.zeros((0, 4), dtype=bool),
        *one, closed, 0, sequence_ohm(1e-6, 1e-6), np.zeros(0, dtype=np.intp), np.zeros(0),
    )  # fmt: skip
    four = FourWire(island)
    assert not four.earthed(np.array([1])).any()
    flow = four.solve(EMF_V, loads((0, 0, 1000.0), (1, 0, 1000.0), (1, 1, 3000.0)))
    assert np.abs(flow.load_v) == pytest.approx([NOMINAL_V, 300.0, 100.0], rel=1e-4)


def test_an_electrode_carries_a_share_of_what_the_neutral_has_lost() -> None:
    """Earth as the only way back: 30 ohm of the electrode in series with the load's own resistance."""
    flow = solve(
        chain(buses=2, z1=0.1, z0=0.4, opened=((0, NEUTRAL),), electrodes={1: 30.0}),
        loads((1, 0, 100.0)),
    )
    own = resistance(100.0)
    assert abs(flow.load_v[0]) == pytest.approx(NOMINAL_V * own / (own + 30.1), rel=1e-6)


@pytest.mark.parametrize(
    ("electrode_ohm", "mutual", "expected_v"),
    [
        (None, 0j, [257.3294, 143.9205, 308.0667]),
        (30.0, 0j, [248.6304, 159.8522, 290.7284]),
        (30.0, 0.00493480220054468 + 0.06612837635612949j, [248.5712, 159.8828, 290.7660]),
        (3.0, 0.00493480220054468 + 0.06612837635612949j, [231.8144, 201.6609, 250.3771]),
    ],
)
def test_a_lost_neutral_in_opendss(electrode_ohm: float | None, mutual: complex, expected_v: list[float]) -> None:
    """Three buses, each conductor 0.2 + j0.08 ohm between two of them, and what they have in common; the second
    neutral open; at the last bus 2, 4 and 0.8 kW of constant impedance (model 2) at 400 V / sqrt(3), and an electrode.

    The values are OpenDSSDirect.py 0.9.4's, with four-conductor lines and the star point at earth.
    """
    electrodes = {} if electrode_ohm is None else {2: electrode_ohm}
    island = chain(source=1e-7, opened=((1, NEUTRAL),), electrodes=electrodes, mutual=mutual)
    flow = solve(island, loads((2, 0, 2000.0), (2, 1, 4000.0), (2, 2, 800.0)))
    assert np.abs(flow.load_v) == pytest.approx(expected_v, abs=2e-3)


def test_couplings_cancel_without_electrodes_and_count_with_them() -> None:
    mutual = earth_return_ohm_per_km(50.0)
    assert mutual.real == pytest.approx(0.0493, abs=1e-4)
    assert mutual.imag == pytest.approx(0.661, abs=2e-3)
    some = loads((1, 0, 2000.0), (2, 1, 1500.0), (2, 0, 2500.0))
    plain, coupled = (solve(chain(mutual=each), some) for each in (0.0, mutual))
    assert np.abs(plain.load_v - coupled.load_v).max() < 1e-9
    earthed = [solve(chain(mutual=each, electrodes={2: 3.0}), some) for each in (0.0, mutual)]
    assert np.abs(earthed[0].load_v - earthed[1].load_v).max() > 0.05


def test_more_than_the_island_can_carry() -> None:
    with pytest.raises(NoSolutionError, match="no power flow"):
        solve(chain(), loads((2, 0, 1e6)))


def test_data_without_a_neutral_get_one_like_a_phase() -> None:
    matrix = cable_ohm(np.array([0.3 + 0.1j]), np.array([0.3 + 0.1j]))[0]
    assert matrix[NEUTRAL, NEUTRAL] == 0.3 + 0.1j
