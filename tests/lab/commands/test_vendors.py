"""`amilab vendors`, with a package beside amilab that brings a meter, and with a profile in a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROFILE = """\
name = "acme-half"
title = "A meter that no head-end reads"
[capabilities]
carrier = "modbus"
keeps_load_profile = false
reports_outages = false
has_clock = false
has_relay = false
[[documents]]
title = "Acme data sheet"
used_for = "everything"
"""
FILE = """\
name = "acme"
title = "Acme's meter"
wire = "rl-dsp"
[facts.hold_up_s]
value = 90.0
source = "Acme data sheet, page 4"
"""


def amilab(*arguments: str | Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lab.commands.main", *map(str, arguments)],
        env={**os.environ, "COLUMNS": "200"} | ({} if path is None else {"PYTHONPATH": f"{path}:{Path.cwd()}"}),
        capture_output=True,
        text=True,
        check=False,
    )


def listed(*arguments: str | Path, path: Path | None = None) -> dict[str, dict[str, Any]]:
    done = amilab("vendors", "--json", *arguments, path=path)
    assert done.returncode == 0, done.stderr
    return {vendor["name"]: vendor for vendor in json.loads(done.stdout)}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A place to look for packages, with one that brings a meter and no driver."""
    folder = tmp_path / "half_meters"
    folder.mkdir()
    (folder / "__init__.py").touch()
    sdm630 = Path("meters/vendors/sdm630")
    facts = (sdm630 / "profile.toml").read_text().partition("[facts.")
    (folder / "profile.toml").write_text(PROFILE + facts[1] + facts[2])
    (folder / "registers.toml").write_text((sdm630 / "registers.toml").read_text())
    info = tmp_path / "half_meters-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: half-meters\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[amilab.meters]\nacme-half = half_meters\n")
    return tmp_path


def test_each_vendor_is_listed_with_what_it_can_and_where_it_is_from(tmp_path: Path) -> None:
    found = listed()
    assert found["rl-dsp"]["capabilities"]["keeps_load_profile"]
    assert found["rl-dsp"]["from"] == ["amilab"]
    assert (found["sparkplug-mesh"]["interval_length_s"], found["sparkplug-mesh"]["report_every_s"]) == (900, 14_400)
    assert not found["sdm630"]["capabilities"]["reports_itself"]
    assert all(vendor["headend"] for vendor in found.values())
    # What a program of others sends; the lab's own meters say more.
    assert [name for name, vendor in found.items() if not vendor["meters"]] == ["rl-dsp-plain"]
    (tmp_path / "acme.toml").write_text(FILE)
    table = amilab("vendors", "--file", tmp_path / "acme.toml").stdout
    for text in (*found, "Acme's meter", "known to both sides", "relay", "15 min, told every 240 min", "register.read"):
        assert text in table


def test_who_is_known_to_one_side_only_is_told_and_is_in_no_run(package: Path) -> None:
    half = listed(path=package)["acme-half"]
    assert (half["meters"], half["headend"], half["from"]) == (True, False, ["half-meters"])
    assert "meters only" in amilab("vendors", path=package).stdout
    done = amilab("run", "quickstart", "--fleet", "rl-dsp=0.5,acme-half=0.5", "--out", package / "runs", path=package)
    assert done.returncode == 2
    assert "the head-end has no driver for 'acme-half'" in done.stderr
    assert not (package / "runs").exists()


@pytest.mark.parametrize("command", [("vendors",), ("run", "quickstart", "--fleet", "acme-half=1.0")])
def test_faulty_registers_are_one_clear_line_before_anything_starts(package: Path, command: tuple[str, ...]) -> None:
    registers = package / "half_meters" / "registers.toml"
    registers.write_text(registers.read_text().replace('"voltage_l1_v"', '"volts"'))
    done = amilab(*command, *(("--out", package / "runs") if command[0] == "run" else ()), path=package)
    assert done.returncode == 2
    assert "registers.toml of acme-half: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not (package / "runs").exists()


def test_a_profile_in_a_file_has_what_it_leaves_out_from_its_wire(tmp_path: Path) -> None:
    path = tmp_path / "acme.toml"
    path.write_text(FILE)
    acme, theirs = listed("--file", path)["acme"], listed()["rl-dsp"]
    assert (acme["wire"], acme["from"], acme["title"]) == ("rl-dsp", [str(path)], "Acme's meter")
    assert acme["facts"]["hold_up_s"] == {"value": 90.0, "source": "Acme data sheet, page 4"}
    assert {**acme["facts"], "hold_up_s": theirs["facts"]["hold_up_s"]} == theirs["facts"]
    assert {**acme, **{name: theirs[name] for name in ("name", "title", "from", "facts")}} == theirs


def test_a_title_is_no_markup(tmp_path: Path) -> None:
    path = tmp_path / "acme.toml"
    path.write_text(FILE.replace("Acme's meter", "Acme [bold]meter[/] [/]"))
    assert "[bold]meter[/] [/]" in amilab("vendors", "--file", path).stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (FILE.replace('"acme"', '"sdm630"'), "there is a vendor called 'sdm630' already"),
        (FILE.replace('"rl-dsp"', '"rl-dps"'), "no vendor has the wire 'rl-dps'"),
        (FILE.replace("hold_up_s", "hold_up_h"), "hold_up_h"),
        (FILE.replace("value = 90.0", "value = 1.0"), "ends before the last gasp"),
        (FILE + "[capabilities]\ncarrier = 'modbus'\n", "capabilities"),
        ("name = ", "not TOML"),
        ("x = " + "[" * 5000, "not TOML"),
    ],
)
def test_a_file_that_is_no_profile_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "acme.toml"
    path.write_text(text)
    done = amilab("vendors", "--file", path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_one_vendor_is_shown_with_every_fact_and_its_source() -> None:
    shown = amilab("vendors", "rl-dsp")
    assert shown.returncode == 0, shown.stderr
    line = next(line for line in shown.stdout.splitlines() if line.lstrip().startswith("load_profile_depth_s"))
    assert line.strip().split(maxsplit=2)[1:] == [
        "5184000", "Swiss StromVV art. 8a: load profiles are kept in the meter for at least 60 days"
    ]  # fmt: skip
    assert "RL-DSP" in shown.stdout
    assert "sdm630" not in shown.stdout
    facts = listed()["sdm630"]["facts"]
    assert facts["max_current_a"] == {
        "value": 100, "source": "Eastron SDM630Modbus data sheet: direct connection up to 100 A"
    }  # fmt: skip


def test_a_vendor_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    refused = amilab("vendors", "sdm-630")
    assert refused.returncode == 2
    assert "there is no vendor 'sdm-630'; there are " in refused.stderr
    assert "sdm630" in refused.stderr


def test_a_load_test_of_a_meter_that_no_head_end_reads_is_refused(package: Path) -> None:
    refused = amilab(
        "loadtest", "plateau", "--fleet", "rl-dsp=0.5,acme-half=0.5", "--out", package / "runs", path=package
    )
    assert refused.returncode == 2, refused.stdout + refused.stderr
    assert "the head-end has no driver for 'acme-half'" in refused.stderr


def test_a_meter_for_transformers_that_cannot_be_is_told_by_its_key_before_anything_starts(tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    head = '[scenario]\nname = "s"\nstart = 2026-01-15T00:00:00Z\nduration = "1h"\nseed = 1\n'
    fleet = '[feeder]\nname = "schutterwald"\n[fleet]\npreset = "cellular"\ntransformer_meters = '
    for name, said in (("file:nope", f"transformer_meters: {tmp_path}/nope: cannot be read"), ("rl-dsp", "its relay")):
        path.write_text(f'{head}{fleet}"{name}"\n')
        refused = amilab("run", path, "--out", tmp_path / "runs")
        assert refused.returncode == 2
        assert said in refused.stderr
        assert "transformer_meters" in refused.stderr
        assert not (tmp_path / "runs").exists()
