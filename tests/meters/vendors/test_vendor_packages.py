"""Vendors' meters that other packages bring by entry points (`tests/vendors/acme`), and what is wrong with such."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from meters.errors import ProfileError
from meters.vendors import registry
from meters.vendors.registry import known_profiles, load_profile, read_profile
from meters.vendors.wires import check_wire, recording_wire, registers_of

ACME = Path(__file__).parents[2] / "vendors" / "acme"
Brings = Callable[..., None]


@pytest.fixture
def acme(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if the package were installed."""
    monkeypatch.syspath_prepend(str(ACME))
    registry._vendors.cache_clear()
    yield
    registry._vendors.cache_clear()


@pytest.fixture
def brings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Brings]:
    """Install a package that brings one meter: `name` of its entry point, and the files of its folder."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(name: str, files: dict[str, str], *, value: str | None = None) -> None:
        package = f"brought_{tmp_path.name}"
        (tmp_path / package).mkdir()
        for file, text in {"__init__.py": "", **files}.items():
            (tmp_path / package / file).write_text(text)
        info = tmp_path / "brought-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: brought\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[amilab.meters]\n{name} = {value or package}\n")
        registry._vendors.cache_clear()

    yield install
    registry._vendors.cache_clear()


def text_of(name: str) -> str:
    return (Path(registry.__file__).parent / name / "profile.toml").read_text()


def test_a_new_process_finds_a_companys_meter_by_its_entry_point_alone() -> None:
    code = "from meters.vendors.registry import load_profile; print(load_profile('acme-dm3').title)"
    path = os.pathsep.join([str(ACME), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "Acme DM3 behind a Modbus TCP gateway, polled\n", done.stderr


@pytest.mark.usefixtures("acme")
def test_its_registers_are_read_like_any_other() -> None:
    assert "acme-dm3" in known_profiles()
    registers = registers_of(load_profile("acme-dm3"))
    shown = {"voltage_l1_v": 230.5, "active_power_w": 1500.0, "import_wh": 123_456_789}
    # The bytes of each word travel the other way round.
    words = {
        address: struct.unpack(f"<{count}H", registers.answer(shown, 3, address, count))
        for address, count in ((0x5008, 2), (0x5000, 4), (0x5B00, 2), (0x5B04, 2), (0x6001, 2))
    }
    assert struct.unpack(">i", struct.pack(">2H", *words[0x5008])) == (-150_000,), "in 0.01 W, and what the house draws"
    assert struct.unpack(">Q", struct.pack(">4H", *words[0x5000])) == (12_345_679,), "in 0.01 kWh"
    assert struct.unpack(">I", struct.pack(">2H", *words[0x5B00])) == (2305,)
    assert words[0x5B04] == (0xFFFF, 0xFFFF)
    assert words[0x6001] == (0xAC3E, 0x0003)


def test_without_the_package_it_is_one_clear_line() -> None:
    with pytest.raises(ProfileError, match=r"^no vendor profile 'acme-dm3'; known: [a-z0-9, -]+$"):
        load_profile("acme-dm3")


def test_a_profile_of_ones_own_on_an_existing_wire(tmp_path: Path) -> None:
    text = text_of("rl_dsp").replace('name = "rl-dsp"', 'name = "mine"\nwire = "rl-dsp"').replace("90.0", "120.0")
    (tmp_path / "mine.toml").write_text(text)
    mine = read_profile(tmp_path / "mine.toml")
    assert (mine.name, mine.wire) == ("mine", "rl-dsp")
    assert mine.facts.hold_up_s == 120.0  # type: ignore[attr-defined]  # of a meter with a super-capacitor
    assert recording_wire(mine) is recording_wire(load_profile("rl-dsp"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "rl-dsp"', 'name = "mine"', "profile mine: no vendor has the wire 'mine'; known: "),
        (
            'name = "rl-dsp"',
            'name = "mine"\nwire = "sdm630"',
            "capabilities.carrier differs from that of its wire sdm630",
        ),
        (
            'name = "rl-dsp"',
            'name = "mine"\nwire = "sparkplug-plc"',
            "sparkplug-plc speaks the wire 'sparkplug-mesh' itself: name that",
        ),
        ("keeps_load_profile = true", "keeps_load_profile = false", "capabilities.reports_outages: a meter without"),
        (
            'carrier = "mqtt"',
            'carrier = "modbus"',
            "capabilities.keeps_load_profile: a meter over modbus keeps none here",
        ),
        ("has_relay = true", "has_wings = true", "capabilities.has_wings"),
        ("90.0", "inf", "facts.hold_up_s: Input should be a finite number"),
    ],
)
def test_what_a_profile_of_ones_own_cannot_be(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in text_of("rl_dsp")
    (tmp_path / "mine.toml").write_text(text_of("rl_dsp").replace(old, new))
    with pytest.raises(ProfileError) as raised:
        read_profile(tmp_path / "mine.toml")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_two_packages_with_one_name_are_both_named(brings: Brings) -> None:
    brings("sdm630", {"profile.toml": text_of("sdm630")})
    with pytest.raises(ProfileError, match=r"two vendors are called 'sdm630': meters\.vendors\.sdm630, .*of brought"):
        known_profiles()


def test_a_package_that_brings_nothing_is_named_and_stops_nobody_else(brings: Brings) -> None:
    brings("hollow", {})
    with pytest.raises(ProfileError, match=r"\(entry point of brought\): profile\.toml cannot be read"):
        load_profile("hollow")
    assert load_profile("sdm630").name == "sdm630"


@pytest.mark.parametrize("value", [".", "..", "a..b", "sys", "os", "a b", "1"])
def test_an_entry_point_that_names_no_folder_is_one_clear_line(brings: Brings, value: str) -> None:
    brings("nowhere", {}, value=value)
    with pytest.raises(ProfileError, match=r"\(entry point of brought\)"):
        load_profile("nowhere")
    assert load_profile("sdm630").name == "sdm630"


def test_a_package_whose_profile_calls_itself_otherwise_is_refused(brings: Brings) -> None:
    brings("alias", {"profile.toml": text_of("sdm630")})
    with pytest.raises(ProfileError, match="brings a profile 'alias' that calls itself 'sdm630'"):
        load_profile("alias")


def test_a_wire_that_lacks_words_says_which(brings: Brings) -> None:
    text = text_of("rl_dsp").replace('name = "rl-dsp"', 'name = "mute"')
    brings("mute", {"profile.toml": text, "wire.py": "def will(serial): ...\n"})
    with pytest.raises(
        ProfileError, match="has client_id, home, command_topic, online, reading, event, answer, load_profile too"
    ):
        recording_wire(load_profile("mute"))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def will(serial:\n", "SyntaxError"),
        ("will = 1 + None\n", "TypeError"),
        ("import no_such_library\n", "No module named 'no_such_library'"),
    ],
)
def test_a_wire_that_fails_when_it_is_loaded_is_one_clear_line(brings: Brings, code: str, said: str) -> None:
    text = text_of("rl_dsp").replace('name = "rl-dsp"', 'name = "broken"')
    brings("broken", {"profile.toml": text, "wire.py": code})
    with pytest.raises(ProfileError, match=rf"\(entry point of brought\): .*\.wire cannot be loaded: .*{said}"):
        check_wire(load_profile("broken"))


@pytest.mark.parametrize("vendor", ["rl-dsp", "sdm630", "sparkplug-mesh", "shelly-pro-3em"])
def test_every_kind_of_wire_is_looked_at(brings: Brings, vendor: str) -> None:
    check_wire(load_profile(vendor))
    text = text_of(vendor.replace("-", "_"))
    brings("hollow", {"profile.toml": text.replace(f'name = "{vendor}"', 'name = "hollow"')})
    with pytest.raises(ProfileError, match="entry point of brought"):
        check_wire(load_profile("hollow"))


def test_registers_that_contradict_the_facts_are_told(brings: Brings) -> None:
    registers = (Path(registry.__file__).parent / "em340" / "registers.toml").read_text()
    coarse = registers.replace("scale = 100", "scale = 10_000")
    assert coarse != registers
    profile = text_of("em340").replace('name = "em340"', 'name = "coarse"')
    brings("coarse", {"profile.toml": profile, "registers.toml": coarse})
    with pytest.raises(ProfileError, match="profile coarse: import_wh: steps of 10000 Wh are coarser than counting_"):
        check_wire(load_profile("coarse"))


def test_a_profile_of_ones_own_on_the_wire_of_a_faulty_package_is_refused(brings: Brings, tmp_path: Path) -> None:
    brings("bare", {"profile.toml": 'name = "bare"\n'})
    (tmp_path / "mine.toml").write_text('name = "mine"\nwire = "bare"\n')
    with pytest.raises(ProfileError, match=r"^profile bare: .*capabilities: Field required"):
        read_profile(tmp_path / "mine.toml")
