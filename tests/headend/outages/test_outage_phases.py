"""Devices that are open in one phase: who is dark, who tells of a lost phase, and who is as before."""

from collections.abc import Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st

from headend.drivers.event_log import PHASES
from headend.outages.follow import Follower, Outage, Report, Rules, Sightings
from headend.outages.phases import Phases
from tests.headend.networks import Radial, street

RULES = Rules(together_s=3.0, nested_after_s=1800.0)
T = 1000.0
L1, L2, ALL = frozenset({"L1"}), frozenset({"L2"}), frozenset({"L1", "L2", "L3"})
# street(): section d2 has meters 4 to 9. 4 and 5 have only L2, 6 only L1, the others all three.
STREET = [ALL, ALL, ALL, L2, L2, L2, L1, ALL, ALL, ALL]


def gasps(*meters: int) -> list[Report]:
    return [Report(meter, T, gasp_s=T + 50) for meter in meters]


def lit(*meters: int) -> Sightings:
    seen = Sightings.none(10)
    seen.lit_s[list(meters)] = T + 600
    return seen


def follow(
    reports: Sequence[Report],
    phases: Phases,
    seen: Sightings | None = None,
    radial: Radial | None = None,
) -> list[Outage]:
    classes = (radial or street()).classes
    seen = Sightings.none(10) if seen is None else seen
    return Follower(classes, seen, RULES, elsewhere=(), now_s=T + 2000, phases=phases).outages(reports)


def found(outages: Sequence[Outage]) -> dict[str, tuple[str, list[int]]]:
    classes = street().classes
    return {
        classes.devices[outage.class_index][0]: (outage.phase, [part.meter for part in outage.parts])
        for outage in outages
    }


def phases(lost: Mapping[int, str] | None = None, known: Sequence[frozenset[str] | None] = STREET) -> Phases:
    return Phases.of(known, [True] * 10).with_lost(lost or {})


def test_a_phase_that_some_lose_and_others_are_dark_without_is_one_outage_of_their_section() -> None:
    lost = {7: "L2", 8: "L2", 9: "L2"}
    assert found(follow(gasps(4, 5), phases(lost), lit(6, 7, 8, 9))) == {"d2": ("L2", [4, 5])}


def test_customers_of_one_phase_are_one_outage_where_nobody_can_tell_of_a_phase() -> None:
    known = [L1, L1, L1, L1, L2, L2, L1, L1, L1, L1]
    assert found(follow(gasps(4, 5), phases(known=known), lit(6, 7, 8, 9))) == {"d2": ("L2", [4, 5])}


def test_who_has_that_phase_alone_and_said_nothing_is_inferred() -> None:
    lost = {7: "L2", 8: "L2", 9: "L2"}
    assert found(follow(gasps(4), phases(lost), lit(6, 7, 8, 9))) == {"d2": ("L2", [4, 5])}
    assert found(follow(gasps(4), phases(lost), lit(5, 6, 7, 8, 9))) == {"d2": ("L2", [4])}


def test_a_service_by_itself_is_open_as_a_whole() -> None:
    assert found(follow(gasps(4), phases(), lit(5, 6, 7, 8, 9))) == {"d7": ("", [4])}


def test_all_dark_is_no_matter_of_phases() -> None:
    assert found(follow(gasps(4, 5, 6, 7, 8, 9), phases())) == {"d2": ("", [4, 5, 6, 7, 8, 9])}


def test_a_lost_phase_without_anybody_dark_is_no_outage() -> None:
    lost = {0: "L3", 1: "L3", 2: "L3"}
    assert found(follow(gasps(4, 5, 6, 7, 8, 9), phases(lost))) == {"d2": ("", [4, 5, 6, 7, 8, 9])}


def test_who_tells_of_a_lost_phase_is_not_dark() -> None:
    """Three of the section are dark: as a whole it would be open, if the others did not say that they live."""
    silent = Sightings.none(10)
    silent.silent[:] = True
    unknown: list[frozenset[str] | None] = [None] * 10
    outages = follow(gasps(4, 5, 6), phases({7: "L2", 8: "L2", 9: "L2"}, unknown), silent)
    assert found(outages) == {"d2": ("L2", [4, 5, 6])}


def test_the_whole_transformer_in_one_phase() -> None:
    lost = {0: "L2", 1: "L2", 2: "L2", 7: "L2", 8: "L2", 9: "L2"}
    assert found(follow(gasps(3, 4, 5), phases(lost), lit(6))) == {"d0": ("L2", [3, 4, 5])}


def test_another_phase_elsewhere_is_not_mixed_up_with_it() -> None:
    lost = {7: "L2", 8: "L2", 9: "L2", 0: "L1"}
    assert found(follow(gasps(4, 5), phases(lost), lit(6))) == {"d2": ("L2", [4, 5])}


def test_it_ends_with_the_restores_of_the_dark() -> None:
    reports = [Report(meter, T, T + 900, T + 50, T + 930) for meter in (4, 5)]
    (outage,) = follow(reports, phases({7: "L2", 8: "L2", 9: "L2"}), lit(6, 7, 8, 9))
    assert (outage.phase, outage.ended_s) == ("L2", T + 900)
    assert [part.to_s for part in outage.parts] == [T + 900, T + 900]


@given(liar=st.sampled_from([0, 1, 2, 7, 8, 9]), phase=st.sampled_from(PHASES), known=st.booleans())
def test_one_meters_word_names_nobody_elses_customers_dark(liar: int, phase: str, known: bool) -> None:
    """A service is blown, and one neighbour of three phases says that it has lost one."""
    word = phases({liar: phase}) if known else phases({liar: phase}, [None] * 10)
    assert found(follow(gasps(4), word)) == {"d7": ("", [4])}


@given(phase=st.sampled_from(PHASES), liar=st.integers(0, 2))
def test_one_meters_word_makes_no_outage_larger_that_others_tell_of(phase: str, liar: int) -> None:
    """The section is open in L2, as its meters say; behind the other one somebody says that it lost a phase, too."""
    lost = {7: "L2", 8: "L2", 9: "L2", liar: phase}
    assert found(follow(gasps(4, 5), phases(lost))) == {"d2": ("L2", [4, 5])}


@given(phase=st.sampled_from(PHASES), liar=st.integers(0, 3))
def test_one_meters_word_from_elsewhere_joins_nobody_whose_phases_are_unknown(phase: str, liar: int) -> None:
    assert found(follow(gasps(4, 5), phases({liar: phase}, [None] * 10))) == {"d7": ("", [4]), "d8": ("", [5])}


def test_two_that_agree_are_heard() -> None:
    assert found(follow(gasps(4), phases({7: "L2"}), lit(6))) == {"d7": ("", [4])}
    assert found(follow(gasps(4), phases({7: "L2", 8: "L2", 9: "L2"}), lit(6))) == {"d2": ("L2", [4, 5])}
    few: list[frozenset[str] | None] = [*STREET[:6], L1, L1, ALL, ALL]
    assert found(follow(gasps(4), phases({8: "L2", 9: "L1"}, few))) == {"d7": ("", [4])}
    assert found(follow(gasps(4), phases({8: "L2", 9: "L2"}, few))) == {"d2": ("L2", [4, 5])}


def test_a_single_one_says_how_far_up_it_is_where_nobody_else_is_darkened() -> None:
    """Beyond the section only one meter can tell: the section's own outage is known, and no other customer has L2."""
    radial = Radial(parents=(-1, 0, 0, *([2] * 6)), at=(1, *range(3, 9)))
    known = [ALL, L2, L2, L1, ALL, ALL, ALL]
    told = Phases.of(known, [True] * 7).with_lost(dict.fromkeys((0, 4, 5, 6), "L2"))
    seen = Sightings.none(7)
    outages = Follower(radial.classes, seen, RULES, elsewhere=(), now_s=T + 2000, phases=told).outages(gasps(1, 2))
    devices = [radial.classes.devices[outage.class_index][0] for outage in outages]
    assert (devices, [[part.meter for part in outage.parts] for outage in outages]) == (["d0"], [[1, 2]])


def test_what_a_single_one_and_the_dark_agree_on_is_no_support_for_somebody_further_up() -> None:
    """d1 is open in L3: beside the section below it one is dark and one tells. Behind d0 somebody joins in."""
    radial = Radial(parents=(-1, 0, 1), at=(2, 2, 2, 2, 1, 1, 0, 0, 0))
    only_l3 = frozenset({"L3"})
    known = [only_l3, ALL, ALL, ALL, only_l3, ALL, only_l3, only_l3, ALL]
    told = Phases.of(known, [True] * 9).with_lost(dict.fromkeys((1, 2, 3, 5, 8), "L3"))
    seen = Sightings.none(9)
    outages = Follower(radial.classes, seen, RULES, elsewhere=(), now_s=T + 2000, phases=told).outages(gasps(0, 4))
    assert sorted(part.meter for outage in outages for part in outage.parts) == [0, 4]
