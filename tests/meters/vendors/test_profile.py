from __future__ import annotations

import os
from pathlib import Path
from typing import cast

import pytest

import meters.vendors
from meters.device.facts import DirectFacts
from meters.errors import ProfileError
from meters.vendors.profile import parse_profile
from meters.vendors.registry import MOST_BYTES, known_profiles, load_profile, read_profile

TEXT = (Path(meters.vendors.__file__).parent / "rl_dsp" / "profile.toml").read_text(encoding="utf-8")


def test_every_profile_of_the_package_loads_and_names_a_source_for_each_fact() -> None:
    assert known_profiles()
    for name in known_profiles():
        profile = load_profile(name)
        assert profile.name == name
        assert set(profile.sources) == set(type(profile.facts).model_fields)


def test_rl_dsp_states_what_its_documents_state() -> None:
    facts = cast(DirectFacts, load_profile("rl-dsp").facts)
    # docs/wire-rl-dsp.md: registers roll over to 0 after 999,999,999 Wh; keep-alive 60 s.
    assert facts.register_roll_over_wh == 999_999_999 + 1
    assert facts.keep_alive_s == 60
    assert facts.silence_limit_s == 90
    # A last gasp needs energy left when its delay is over.
    assert facts.hold_up_s > facts.qualifying_delay_s + facts.qualifying_offset_s


def test_an_unknown_profile_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ProfileError, match=r"no vendor profile 'acme'; known: .*rl-dsp"):
        load_profile("acme")


def test_all_faults_are_listed_at_once() -> None:
    text = TEXT.replace("value = 60\n", 'value = "soon"\n').replace("[facts.hold_up_s]", "[facts.hold_up_minutes]")
    text = text.replace('carrier = "mqtt"', 'carrier = "pigeon"\ncolour = "grey"')
    text += "\n[facts.extra]\nvalue = 1\n"
    with pytest.raises(ProfileError) as raised:
        parse_profile(text, origin="mine")
    message = str(raised.value)
    for expected in (
        "mine:", "facts.keep_alive_s", "facts.hold_up_minutes", "facts.hold_up_s: Field required",
        "capabilities.carrier",
        "colour",
        "facts.extra: must have exactly the keys value and source",
    ):  # fmt: skip
        assert expected in message


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("value = 90.0", "value = 50.0", "ends before the last gasp"),
        ("value = 21_600", "value = 21_601", "sync_every_s is not a multiple of interval_length_s"),
        ("value = 40.0", "value = 10.0", "boot_delay_max_s is less than boot_delay_min_s"),
        ("value = 1_000_000_000", "value = 0", "register_roll_over_wh"),
        ("value = 1_000_000_000", f"value = {2**53 + 1}", "register_roll_over_wh"),
        ("[facts.max_current_a]\nvalue = ", "[facts.max_current_a]\nvalue = 99999", "max_current_a"),
        ('name = "rl-dsp"', f'name = "{"n" * 300}"', "name: String should have at most 40 characters"),
        ('title = "', 'title = "\\u001b[2J', "title: is not one line of printable characters"),
    ],
)
def test_facts_that_contradict_each_other_are_refused(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(ProfileError, match=message):
        parse_profile(TEXT.replace(old, new), origin="mine")


def test_files_that_are_not_there_or_not_toml(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="cannot be read"):
        read_profile(tmp_path / "none.toml")
    with pytest.raises(ProfileError, match="not TOML"):
        parse_profile("= 1", origin="mine")


def test_what_has_no_end_or_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "huge.toml").write_text("#" * (MOST_BYTES + 1))
    for path, fault in (
        (Path("/dev/zero"), "is no file"),
        (tmp_path / "pipe", "is no file"),
        (tmp_path, "is no file"),
        (tmp_path / "huge.toml", "is longer than 1,048,576 bytes"),
        (tmp_path / "a\0b", "cannot be read"),
    ):
        with pytest.raises(ProfileError, match=fault):
            read_profile(path)


def test_another_interval_goes_with_another_report_and_says_where_it_is_from() -> None:
    profile = load_profile("rl-dsp").at_interval(5)
    assert (profile.facts.interval_length_s, profile.facts.report_every_s) == (5, 5)
    assert profile.sources["interval_length_s"].startswith("set for the run; of itself 900 s: Swiss")
    assert profile.facts.model_dump()["sync_every_s"] == cast(DirectFacts, load_profile("rl-dsp").facts).sync_every_s
    assert load_profile("rl-dsp").at_interval(900) == load_profile("rl-dsp")


@pytest.mark.parametrize(
    ("interval_s", "message"),
    [(7, "interval_length_s does not divide a day"), (3200, "sync_every_s is not a multiple"), (0, "greater than 0")],
)
def test_an_interval_that_the_profile_does_not_bear_is_refused(interval_s: int, message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        load_profile("rl-dsp").at_interval(interval_s)
