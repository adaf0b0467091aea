"""The measuring element, against the limits that IEC 62053 has for its class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from meters.device.classes import AccuracyClass, active_class, reactive_class
from meters.device.draws import meter_keys
from meters.device.metrology import Metrology
from meters.device.physics import Physics
from meters.device.quantities import LIMITED_NAMES, REGISTER_NAMES
from meters.vendors.registry import load_profile
from tests.frames import frame_of

FACTS = load_profile("rl-dsp").facts
COUNT = 1500
KEYS = meter_keys(7, [f"AMI{number:08d}" for number in range(COUNT)])
METROLOGY = Metrology(KEYS, FACTS)
REFERENCE_A, VOLTS = FACTS.reference_current_a, 230.0
AT = {name: number for number, name in enumerate(REGISTER_NAMES)}
LIMIT = {name: number for number, name in enumerate(LIMITED_NAMES)}
Floats = NDArray[np.float64]
Of = Callable[[float, bool], AccuracyClass]

loads = st.floats(0.001, 20.0)
angles = st.floats(-np.pi, np.pi)


def physics(power_w: Any, reactive_var: Any = 0.0, volts: Any = VOLTS, count: int = COUNT) -> Physics:
    """All meters carry these powers per phase."""
    whole = np.ones((count, 3))
    frame = frame_of(1, 0, np.ones(count, dtype=bool), active_power_w=whole * power_w, voltage_v=whole * volts)
    return Physics.of(replace(frame, reactive_power_var=whole * reactive_var))


def errors(name: str, power_w: Any, reactive_var: Any = 0.0) -> Floats:
    """Relative errors (n,) of a register under such a load."""
    holding = physics(power_w, reactive_var)
    true = {
        "import_wh": holding.import_wh_per_s.sum(axis=1),
        "import_l1_wh": holding.import_wh_per_s[:, 0],
        "reactive_q1_varh": holding.reactive_varh_per_s[0].sum(axis=1),
    }[name]
    relative: Floats = METROLOGY.rates(holding).counted_per_s[:, AT[name]] / true - 1.0
    return relative


# IEC 62053-21:2003, table 6, class 1; current in parts of Ib, power factor, limit in percent.
@pytest.mark.parametrize(
    ("current", "factor", "limit"),
    [
        (0.05, 1.0, 1.5), (0.099, 1.0, 1.5), (0.1, 1.0, 1.0), (1.0, 1.0, 1.0), (20.0, 1.0, 1.0),
        (0.1, 0.5, 1.5), (0.2, 0.5, 1.0), (20.0, 0.5, 1.0), (0.1, -0.8, 1.5), (0.2, -0.8, 1.0), (20.0, -0.8, 1.0),
    ],
)  # fmt: skip
def test_active_energy_is_within_the_table_of_its_class_and_uses_some_of_it(
    current: float, factor: float, limit: float
) -> None:
    apparent_va = current * REFERENCE_A * VOLTS
    reactive_var = np.copysign(np.sqrt(1 - factor**2), factor) * apparent_va
    error = errors("import_wh", abs(factor) * apparent_va, reactive_var) * 100
    assert np.abs(error).max() <= limit
    assert error.min() < -0.35
    assert error.max() > 0.35
    table = active_class(1.0).limit_percent(np.array([current]), np.array([reactive_var / abs(factor) / apparent_va]))
    if factor in (1.0, 0.5):
        assert table[0] == pytest.approx(limit)


# IEC 62053-23:2003, table 6, class 2; current in parts of Ib, sin phi, limit in percent.
@pytest.mark.parametrize(
    ("current", "sine", "limit"),
    [
        (0.05, 1.0, 2.5), (0.1, 1.0, 2.0), (20.0, 1.0, 2.0), (0.1, 0.5, 2.5), (0.2, 0.5, 2.0), (20.0, 0.5, 2.0),
        (0.2, 0.25, 2.5), (20.0, 0.25, 2.5),
    ],
)  # fmt: skip
def test_reactive_energy_is_within_the_table_of_its_class(current: float, sine: float, limit: float) -> None:
    apparent_va = current * REFERENCE_A * VOLTS
    error = errors("reactive_q1_varh", np.sqrt(1 - sine**2) * apparent_va, sine * apparent_va) * 100
    assert np.abs(error).max() <= limit
    assert np.abs(error).max() > 0.3
    cotangent = np.sqrt(1 - sine**2) / sine
    assert reactive_class(2.0).limit_percent(np.array([current]), np.array([cotangent]))[0] == pytest.approx(limit)


@pytest.mark.parametrize(
    ("of", "percent", "behind", "current", "factor", "limit"),
    [
        # IEC 62053-21, class 1 at a power factor of 0.25, and its bands behind transformers.
        (active_class, 1.0, False, 0.2, 0.25, 3.5), (active_class, 1.0, False, 20.0, 0.25, 3.5),
        (active_class, 1.0, True, 0.02, 1.0, 1.5), (active_class, 1.0, True, 0.05, 1.0, 1.0),
        (active_class, 1.0, True, 0.05, 0.5, 1.5), (active_class, 1.0, True, 0.1, 0.5, 1.0),
        (active_class, 1.0, True, 0.0019, 1.0, 100.0), (active_class, 2.0, True, 0.0029, 1.0, 100.0),
        # IEC 62053-22, class 0.5 S.
        (active_class, 0.5, True, 0.01, 1.0, 1.0), (active_class, 0.5, True, 0.05, 1.0, 0.5),
        (active_class, 0.5, True, 0.02, 0.5, 1.0), (active_class, 0.5, True, 0.1, 0.5, 0.6),
        (active_class, 0.5, True, 0.1, 0.25, 1.0), (active_class, 0.5, True, 0.0009, 1.0, 100.0),
        # IEC 62053-23.
        (reactive_class, 3.0, False, 0.2, 0.25, 4.0), (reactive_class, 3.0, False, 0.2, 0.5, 3.0),
        (reactive_class, 2.0, True, 0.02, 1.0, 2.5), (reactive_class, 2.0, True, 0.1, 0.25, 2.5),
        (reactive_class, 2.0, True, 0.1, 0.5, 2.0), (reactive_class, 2.0, True, 0.0029, 1.0, 100.0),
    ],
)  # fmt: skip
def test_limits_are_those_of_the_tables(
    of: Callable[[float, bool], AccuracyClass],
    percent: float,
    behind: bool,
    current: float,
    factor: float,
    limit: float,
) -> None:
    ratio = np.sqrt(1 - factor**2) / factor
    assert of(percent, behind).limit_percent(np.array([current]), np.array([ratio]))[0] == pytest.approx(limit)


@given(
    st.sampled_from([(active_class, 0.5), (active_class, 1.0), (active_class, 2.0), (reactive_class, 2.0)]),
    st.booleans(), st.floats(0.0005, 30), st.floats(0.0, 20.0), st.floats(0.0, 20.0),
)  # fmt: skip
def test_less_of_the_other_power_is_never_allowed_more(
    kind: tuple[Of, float], behind: bool, current: float, ratio: float, other: float
) -> None:
    of, percent = kind
    less, more = of(percent, behind).limit_percent(np.full(2, current), np.array(sorted([ratio, other])))
    assert less <= more + 1e-12


@given(
    st.sampled_from([0.5, 1.0, 2.0]), st.sampled_from([2.0, 3.0]), loads, angles, st.booleans(), st.integers(0, 99)
)  # fmt: skip
def test_any_class_is_kept_at_any_load(
    active: float, reactive: float, load: float, angle: float, behind: bool, row: int
) -> None:
    facts = FACTS.model_copy(update={"accuracy_class_percent": active, "reactive_class_percent": reactive})
    metrology = Metrology(KEYS[:100], facts, rated_a=np.full(100, 5.0) if behind else None)
    apparent_va = load * 5.0 * VOLTS
    holding = physics(apparent_va * np.cos(angle), apparent_va * np.sin(angle), count=100)
    rates = metrology.rates(holding)
    names = [AT[name] for name in LIMITED_NAMES]
    true = np.stack(
        [
            holding.import_wh_per_s.sum(axis=1),
            holding.export_wh_per_s.sum(axis=1),
            *holding.reactive_varh_per_s.sum(axis=2),
        ],
        axis=1,
    )
    error = np.abs(rates.counted_per_s[row, names] - true[row])
    assert (error <= rates.allowed_per_s[row] * (1 + 1e-9) + 1e-12).all()


def test_behind_transformers_it_starts_at_a_part_of_their_rated_current() -> None:
    """IEC 62053-21: 0.002 In for class 1; In is that of the secondary."""
    rated_a = np.array([5.0, 1.0, np.nan])
    metrology = Metrology(KEYS[:3], FACTS, rated_a=rated_a)
    starts_w = np.array([0.002 * 5.0, 0.002 * 1.0, 0.004 * REFERENCE_A])[:, np.newaxis] * VOLTS
    for share, starts in ((0.99, False), (1.01, True)):
        counted = metrology.rates(physics(starts_w * share, count=3)).counted_per_s[:, AT["import_wh"]]
        assert ((counted > 0.0) == starts).all()


def bridged(*powers: tuple[Any, Any]) -> Physics:
    """What a meter is told after frames with such powers, a minute each, of which it saw the first and the last."""
    missed = physics(0.0).frame
    for number, (power_w, reactive_var) in enumerate(powers):
        holding = Physics.of(
            replace(
                missed,
                sequence=number + 1,
                time_s=60 * number,
                active_power_w=np.ones((COUNT, 3)) * power_w,
                reactive_power_var=np.ones((COUNT, 3)) * reactive_var,
                voltage_v=np.full((COUNT, 3), VOLTS),
            )
        )
        if number == 0:
            first = holding
        ends_s = np.full(COUNT, 60.0 * (number + 1))
        everybody = np.arange(COUNT)
        import_wh, export_wh = holding.energy_at(everybody, ends_s)
        missed = replace(
            holding.frame,
            sequence=len(powers) + 2,
            time_s=60 * len(powers),
            import_wh=import_wh,
            export_wh=export_wh,
            reactive_varh=holding.reactive_at(everybody, ends_s),
        )
    found = first.bridge(missed, 0)
    assert found is not None
    return found


def test_after_missed_frames_totals_are_of_the_sums_over_the_phases() -> None:
    """Of 900 var and -600 var in two phases, no total has more than the 300 var that are left."""
    flow = ([3000.0, 2000.0, 0.0], [900.0, -600.0, 0.0])
    seen, unseen = METROLOGY.rates(physics(*flow)), METROLOGY.rates(bridged(flow, flow, flow))
    names = [AT[f"reactive_q{each}_varh"] for each in (1, 2, 3, 4)]
    assert np.allclose(unseen.counted_per_s[:, names], seen.counted_per_s[:, names])
    assert (unseen.counted_per_s[:, AT["reactive_q4_varh"]] == 0.0).all()
    assert (unseen.counted_per_s[:, AT["reactive_export_l2_varh"]] > 0.0).all()


def test_after_missed_frames_a_single_phase_has_each_quadrant_that_it_was_in() -> None:
    there, back = ([1000.0, 0, 0], [500.0, 0, 0]), ([1000.0, 0, 0], [-500.0, 0, 0])
    counted = METROLOGY.rates(bridged(there, back)).counted_per_s * 3600
    for quadrant in (1, 4):
        assert np.allclose(counted[:, AT[f"reactive_q{quadrant}_varh"]], 250.0, rtol=0.02)


@given(st.lists(st.tuples(loads, angles, angles, angles), min_size=1, max_size=4), st.integers(0, COUNT - 1))
@settings(max_examples=25)
def test_what_missed_frames_hide_is_allowed(spans: list[tuple[float, float, float, float]], row: int) -> None:
    """Whatever flowed unseen, the totals are no further off than is said."""
    powers = []
    true = np.zeros(4)
    for load, *phases in spans:
        apparent_va = load * REFERENCE_A * VOLTS
        power_w, reactive_var = apparent_va * np.cos(phases), apparent_va * np.sin(phases)
        powers.append((power_w, reactive_var))
        quadrants = Physics.of(physics(power_w.sum() / 3, reactive_var.sum() / 3).frame).reactive_varh_per_s
        true += quadrants[:, row].sum(axis=1) / len(spans)
    rates = METROLOGY.rates(bridged(*powers))
    names = [AT[f"reactive_q{each}_varh"] for each in (1, 2, 3, 4)]
    allowed = rates.allowed_per_s[row, [LIMIT[f"reactive_q{each}_varh"] for each in (1, 2, 3, 4)]]
    # The loads that errors depend on are those at either end, which these need not be like.
    slack = 0.1 * np.abs(true).sum()
    assert (np.abs(rates.counted_per_s[row, names] - true) <= allowed + slack + 1e-9).all()


def test_below_its_starting_current_a_phase_counts_nothing_and_shows_no_power() -> None:
    # IEC 62053-21, table 8: 0.004 Ib for class 1; IEC 62053-23, table 7: 0.005 Ib for class 2.
    starts_w, starts_var = 0.004 * REFERENCE_A * VOLTS, 0.005 * REFERENCE_A * VOLTS
    below = METROLOGY.rates(physics(starts_w * 0.99, starts_var * 0.99))
    above = METROLOGY.rates(physics(starts_w * 1.01, starts_var * 1.01))
    assert (below.counted_per_s == 0.0).all()
    assert (above.counted_per_s[:, AT["import_wh"]] > 0.0).all()
    assert (above.counted_per_s[:, AT["reactive_q1_varh"]] > 0.0).all()
    # All of what flowed may be missing.
    assert np.allclose(below.allowed_per_s[:, LIMIT["import_wh"]] * 3600, 3 * starts_w * 0.99)
    for way in (1.0, -1.0):
        shown = METROLOGY.measured(physics(way * starts_w * 0.99, way * starts_var * 0.99).frame)
        for power in (shown.active_power_w, shown.reactive_power_var):
            assert (power == 0.0).all()
            assert not np.signbit(power).any(), "a wire would show a minus, and a power factor have it"


def test_errors_depend_on_load_and_power_factor_and_differ_between_phases() -> None:
    reference_w = REFERENCE_A * VOLTS
    full, low = errors("import_wh", reference_w), errors("import_wh", reference_w * 0.06)
    inductive = errors("import_wh", reference_w / 2, reference_w * np.sqrt(0.75))
    assert np.abs(full - low).max() > 0.001
    assert np.abs(full - inductive).max() > 0.002
    alone = errors("reactive_q1_varh", 0.0, reference_w)
    beside = errors("reactive_q1_varh", reference_w * np.sqrt(0.75), reference_w / 2)
    assert np.abs(alone - beside).max() > 0.002
    assert np.abs(errors("import_l1_wh", reference_w) - full).max() > 0.001


def test_no_two_phases_show_the_same_voltage_and_all_are_within_their_error() -> None:
    shown = METROLOGY.measured(physics(1000.0).frame)
    assert (shown.voltage_v[:, 0] != shown.voltage_v[:, 1]).all()
    assert np.abs(shown.voltage_v / VOLTS - 1).max() <= 0.005
    assert np.abs(shown.current_a / (1000.0 / VOLTS) - 1).max() <= 0.0051
    # A meter's power is that of its voltage and current.
    assert np.allclose(shown.voltage_v * shown.current_a, shown.active_power_w, rtol=1e-5)


@given(st.lists(st.tuples(loads, angles, angles, angles), min_size=1, max_size=8), st.integers(0, COUNT - 1))
def test_intervals_sum_to_the_registers_rise_and_stay_within_what_the_class_allows(
    spans: list[tuple[float, float, float, float]], row: int
) -> None:
    counted, allowed = METROLOGY.initial.copy(), np.zeros((COUNT, len(LIMITED_NAMES)))
    true = np.zeros(len(LIMITED_NAMES))
    registers = [METROLOGY.quantised(counted)]
    for load, *phases in spans:
        apparent_va = load * REFERENCE_A * VOLTS
        holding = physics(apparent_va * np.cos(phases), apparent_va * np.sin(phases))
        rates = METROLOGY.rates(holding)
        assert (rates.counted_per_s >= 0.0).all()
        counted = counted + rates.counted_per_s * 900
        allowed = allowed + rates.allowed_per_s * 900
        registers.append(METROLOGY.quantised(counted))
        true[:2] += holding.import_wh_per_s[row].sum() * 900, holding.export_wh_per_s[row].sum() * 900
        # The quadrant of the sums over the phases.
        total_w, total_var = apparent_va * np.cos(phases).sum(), apparent_va * np.sin(phases).sum()
        quadrant = (0 if total_var >= 0 else 3) if total_w >= 0 else (1 if total_var >= 0 else 2)
        true[2 + quadrant] += abs(total_var) / 4
    deltas = np.diff(np.array(registers), axis=0)
    assert (deltas >= 0).all()
    assert (deltas.sum(axis=0) == registers[-1] - registers[0]).all()
    names = [AT[name] for name in LIMITED_NAMES]
    error = np.abs(deltas.sum(axis=0)[row, names] - true)
    assert (error <= allowed[row] + 1 + 1e-6 * true).all()


def test_channels_count_what_is_theirs() -> None:
    rates = METROLOGY.rates(physics([3600e3, 1800e3, -5400e3], [360e3, -720e3, 1440e3])).counted_per_s[7]
    shown = {name: rates[AT[name]] for name in REGISTER_NAMES if rates[AT[name]] > 0}
    assert shown == pytest.approx(
        {
            "import_wh": 1500.0, "export_wh": 1500.0, "import_l1_wh": 1000.0, "import_l2_wh": 500.0,
            "export_l3_wh": 1500.0, "reactive_q1_varh": 300.0, "reactive_import_l1_varh": 100.0,
            "reactive_export_l2_varh": 200.0, "reactive_import_l3_varh": 400.0,
            "apparent_vah": (np.hypot(3600, 360) + np.hypot(1800, 720) + np.hypot(5400, 1440)) / 3.6,
        },
        rel=0.02,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("power_w", "reactive_var", "quadrant"),
    [(1000, 500, 1), (-1000, 500, 2), (-1000, -500, 3), (1000, -500, 4)],
)
def test_each_quadrant_has_its_register(power_w: float, reactive_var: float, quadrant: int) -> None:
    rates = METROLOGY.rates(physics(power_w, reactive_var)).counted_per_s
    for each in (1, 2, 3, 4):
        counted = rates[:, AT[f"reactive_q{each}_varh"]] * 3600
        if each == quadrant:
            assert np.abs(counted / 1500 - 1).max() <= 0.02
        else:
            assert (counted == 0.0).all()


def test_class_errors_are_spread_over_both_signs_within_the_share_of_the_class() -> None:
    error = errors("import_l1_wh", REFERENCE_A * VOLTS)
    assert np.abs(error).max() <= 0.006 + 1e-9
    assert error.min() < -0.005
    assert error.max() > 0.005
    assert abs(error.mean()) < 0.0005


def test_a_few_meters_roll_over_within_a_days_consumption() -> None:
    before = METROLOGY.displayed(METROLOGY.quantised(METROLOGY.initial))[:, 0]
    day = METROLOGY.initial + METROLOGY.rates(physics(1100.0)).counted_per_s * 3600
    after = METROLOGY.displayed(METROLOGY.quantised(day))[:, 0]
    rolled = after < before
    assert 1 <= rolled.sum() <= 20
    assert ((after - before) % 1_000_000_000 >= 3_300 * 0.99 - 1).all()
    assert before.max() < 1_000_000_000
    assert (before >= 0).all()


def test_the_phases_of_a_meters_life_add_up_to_its_totals() -> None:
    registers = METROLOGY.quantised(METROLOGY.initial)
    for total, parts in (("import_wh", "import_l{}_wh"), ("reactive_q1_varh", "reactive_import_l{}_varh")):
        summed = sum(registers[:, AT[parts.format(phase)]] for phase in (1, 2, 3))
        assert np.abs(registers[:, AT[total]] - summed).max() <= 3
        assert (registers[:, AT[total]] > 0).all()


def test_in_its_life_a_meter_counted_nothing_of_phases_that_it_does_not_have() -> None:
    connected = np.ones((COUNT, 3), dtype=bool)
    connected[: COUNT // 2] = [False, True, False]
    metrology = Metrology(KEYS, FACTS, connected=connected)
    registers = metrology.quantised(metrology.initial)
    for name in ("import_l{}_wh", "reactive_import_l{}_varh", "reactive_export_l{}_varh"):
        phases = np.column_stack([registers[:, AT[name.format(phase)]] for phase in (1, 2, 3)])
        assert (phases[~connected] == 0).all()
        assert (phases[connected] > 0).mean() > 0.99
    assert np.abs(registers[: COUNT // 2, AT["import_wh"]] - registers[: COUNT // 2, AT["import_l2_wh"]]).max() <= 1
    elsewhere = METROLOGY.quantised(METROLOGY.initial)
    assert (registers[:, AT["import_wh"]] == elsewhere[:, AT["import_wh"]]).all()
    assert (registers[COUNT // 2 :] == elsewhere[COUNT // 2 :]).all()


def test_a_meter_measures_the_same_in_whatever_company() -> None:
    one = Metrology(KEYS[900:901], FACTS)
    frame = physics(123.4, 56.7)
    alone = frame_of(
        1, 0, np.ones(1, dtype=bool), active_power_w=np.full((1, 3), 123.4), voltage_v=np.full((1, 3), VOLTS)
    )
    rates = one.rates(Physics.of(replace(alone, reactive_power_var=np.full((1, 3), 56.7))))
    assert (rates.counted_per_s == METROLOGY.rates(frame).counted_per_s[900:901]).all()
    assert (one.initial == METROLOGY.initial[900:901]).all()


def test_coarser_registers_move_in_their_steps() -> None:
    facts = FACTS.model_copy(update={"register_step_wh": 100})
    metrology = Metrology(meter_keys(7, ["AMI1"]), facts)
    values = [int(metrology.quantised(metrology.initial + wh)[0, 0]) for wh in np.arange(0.0, 500, 7)]
    assert set(np.diff(values)) == {0, 100}
    assert values[0] % 100 == 0
