from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import UserError
from lab.fleet.presets import PRESETS, parse_fleet
from lab.scenario.choices import with_choices
from lab.scenario.load import (
    KillEvent,
    OutageEvent,
    RebootEvent,
    RotateEvent,
    Scenario,
    UplinkLossEvent,
    bundled_scenarios,
    load_scenario,
    parse_duration,
    parse_scenario,
)
from lab.scenario.toml_lines import LineIndex
from meters.fleet.cell_lines import READS_EVERY_S
from meters.vendors import registry

HEAD = """\
[scenario]
name = "small"
start = 2026-01-15T00:00:00Z
duration = "24h"
settle = "1h"
seed = 7
[feeder]
name = "schutterwald"
[fleet]
profile = "rl-dsp"
"""
FIRST_FREE_LINE = HEAD.count("\n") + 1


def read(text: str, **options: Any) -> Scenario:
    return parse_scenario(text, "file.toml", **options)


def faults_of(text: str, **options: Any) -> list[str]:
    with pytest.raises(UserError) as error:
        read(text, **options)
    return list(error.value.faults)


def event(**keys: object) -> str:
    return "[[event]]\n" + "".join(f"{name} = {value}\n" for name, value in keys.items())


def network(**keys: object) -> str:
    return event(**{"at": '"01:00:00"', "kind": '"network"', "part": '"fleet"', "wall": '"5s"', **keys})


def test_quickstart_has_what_the_lab_promises() -> None:
    scenario = load_scenario("quickstart")
    assert (scenario.name, scenario.duration_s, scenario.settle_s) == ("quickstart", 86_400, 3_600)
    assert scenario.feeder.name == "schutterwald"
    assert (scenario.fleet.preset, scenario.fleet.profile, scenario.fleet.meters) == ("bakeoff", None, None)
    outages = {(e.device, e.duration_s) for e in scenario.events if isinstance(e, OutageEvent)}
    assert outages == {("transformer", 7_200), ("section", 2_700), ("transformer", 40)}
    assert [e.select for e in scenario.events if isinstance(e, RebootEvent)] == [{"meters": 1}]
    assert [(e.select, e.duration_s) for e in scenario.events if isinstance(e, UplinkLossEvent)] == [
        ({"collectors": 1}, 2_400),
        ({"meters": 60}, 3_600),
    ]
    kills = [e for e in scenario.events if isinstance(e, KillEvent)]
    # Killed when readings flow: they have set out, or are there by now.
    assert {kill.part: kill.at_s % 900 for kill in kills} == {"headend": 0, "broker": READS_EVERY_S}


def test_values_arrive_in_seconds() -> None:
    text = HEAD + event(at='"30:05"', kind='"kill"', part='"broker"', down='"1h 30min"')
    scenario = read(text.replace('"24h"', '"2d"'))
    assert scenario.start_s == 1_768_435_200  # date -u -d 2026-01-15 +%s
    assert scenario.duration_s == 172_800
    kill = scenario.events[0]
    assert isinstance(kill, KillEvent)
    assert (kill.at_s, kill.down_s, kill.ends_s, kill.line) == (108_300, 5_400, 113_700, FIRST_FREE_LINE)


def test_times_may_be_written_as_toml_or_as_text() -> None:
    reboot = {"kind": '"reboot"', "select": "{ meters = 1 }"}
    as_text = read(
        HEAD.replace("2026-01-15T00:00:00Z", '"2026-01-15T01:00:00+01:00"') + event(at='"06:10:00"', **reboot)
    )
    assert as_text == read(HEAD + event(at="06:10:00", **reboot))


def test_seed_and_duration_can_be_replaced() -> None:
    scenario = read(HEAD, seed=11, duration_s=7_200)
    assert (scenario.seed, scenario.duration_s) == (11, 7_200)


def test_shortening_drops_no_event_silently() -> None:
    late = event(at='"05:00"', kind='"reboot"', select="{ meters = 1 }")
    early = event(at='"00:30"', kind='"reboot"', select="{ meters = 1 }")
    later = event(at='"06:00"', kind='"outage"', device='"service"', duration='"1h"', select='{ id = "x" }')
    found = faults_of(HEAD + late + early + later, duration_s=7_200)
    assert found == [
        "file.toml, line 11: this reboot begins at 05:00:00, beyond the duration asked for (02:00:00)",
        "file.toml, line 19: this outage begins at 06:00:00, beyond the duration asked for (02:00:00)",
    ]


def test_everything_must_be_over_when_the_run_is_judged() -> None:
    text = HEAD + event(at='"23:30"', kind='"uplink_loss"', duration='"91min"', select="{ meters = 3 }")
    assert "is over only at 25:01:00" in faults_of(text)[0]
    assert read(text.replace("91min", "90min")).events[0].ends_s == 90_000


def test_a_part_that_is_down_cannot_be_killed() -> None:
    def kills(*times: str, part: str = "broker") -> str:
        return "".join(event(at=f'"{at}"', kind='"kill"', part=f'"{part}"', down='"1h"') for at in times)

    assert len(read(HEAD + kills("01:00", "02:01") + kills("01:30", part="headend")).events) == 3
    (fault,) = faults_of(HEAD + kills("02:00", "01:00"))
    assert fault == "file.toml, line 11: the broker cannot be killed at 02:00:00: by line 16 it is down until 02:00:00"


def test_rotations_come_one_after_the_other() -> None:
    def rotations(*times: str) -> str:
        return "".join(event(at=f'"{at}"', kind='"rotate"', what='"authority"', overlap='"1h"') for at in times)

    first, second = read(HEAD + rotations("01:00", "02:01")).events
    assert isinstance(first, RotateEvent)
    assert (first.what, first.ends_s, second.at_s) == ("authority", 7_200, 7_260)
    (fault,) = faults_of(HEAD + rotations("02:00", "01:00"))
    assert fault == (
        "file.toml, line 11: this rotation begins at 02:00:00, when that of line 16 is not over (until 02:00:00)"
    )


ALL_AT_ONCE = """\
[scenario]
nam = "x"
start = 2026-01-15T00:00:00
duration = 24
seed = -1

[feder]
[fleet]
profile = 3

[[event]]
at = "25:61"
kind = "outge"
[[event]]
at = "25:61"
kind = "outage"
device = "trafo"
select = { customers = [200, 50] }

[[event]]
at = 01:00:00
kind = 'reboot'
durtion = 'x'
select = { meter = 60 }
[criteria]
reads.x = true
"reads.y" = 1
"""


def test_every_fault_is_listed_with_its_line() -> None:
    expected = {
        1: ["[feeder] is missing"],  # of the whole document
        2: ["'nam' is unknown", "Did you mean 'name'?"],
        3: ["has no offset from UTC; write 2026-01-15T00:00:00Z"],
        4: ["24 is not a duration"],
        5: ["'seed' is -1"],
        7: ["'feder' is unknown", "Did you mean 'feeder'?"],
        9: ["'profile' must be a text, not 3"],
        13: ["unknown kind 'outge'", "Did you mean 'outage'?"],
        15: ["'25:61' is not an offset", "HH:MM"],
        17: ["'device' is 'trafo'", "'transformer', 'section' or 'service'"],
        23: ["'durtion' is unknown"],
        24: ["'meter' does not belong here", "'meters' is missing"],
        26: ["the target of reads.x is True"],
        27: ["'reads.y' is not a criterion", "reads.lost"],
    }
    found = faults_of(ALL_AT_ONCE, known_criteria=["reads.lost"])
    for line, sayings in expected.items():
        told = " ".join(fault for fault in found if f", line {line}: " in fault)
        for saying in sayings:
            assert saying in told, f"line {line}: {told}"
    lines = [int(fault.split("line ")[1].split(":")[0]) for fault in found]
    assert lines == sorted(lines)


@pytest.mark.parametrize(
    ("events", "saying"),
    [
        ("event = 3\n", "two brackets"),
        ("[event]\nat = 1\n", "two brackets"),
        ("event = [3]\n", "this event has no kind"),
        ("[[event]]\nkind = ['a']\n", "the unknown kind ['a']"),
        (event(at="01:00:00", kind='"reboot"', select="{ meters = 0 }"), "'meters' is 0"),
        (event(at="01:00:00", kind='"reboot"', select="{ meters = true }"), "'meters' must be a whole number"),
        (event(at="01:00:00", kind='"reboot"', select="5"), "write select = { meters = 60 }"),
        (event(at="01:00:00", kind='"reboot"', select="{ meters = 1 }", line="9"), "'line' is unknown"),
        (event(at="01:00:00", kind='"kill"', part='"grid"', down='"1h"'), "'broker', 'database', 'fleet' or 'ingest'"),
        (event(at="01:00:00", kind='"rotate"', what='"keys"', overlap='"1h"'), "'identities' or 'authority'"),
        (event(at="01:00:00", kind='"rotate"', what='"authority"'), "'overlap' is missing"),
        (event(at="01:00:00", kind='"kill"', part='"broker"', down='"0s"'), "longer than 0 s"),
        (event(at="01:00:00", kind='"update"', part='"broker"'), "'fleet' or 'ingest'"),
        (event(at="01:00:00", kind='"update"', part='"fleet"', down='"1h"'), "'down' is unknown"),
        (network(fault='"loss"'), "fault needs 'loss'"),
        (network(fault='"loss"', loss="1.5"), "'loss' is 1.5"),
        (network(fault='"pause"', loss="0.5"), "fault is 'pause', which takes no 'loss'"),
        (network(fault='"delay"'), "fault needs 'delay_ms'"),
        (network(fault='"cut"'), "'disconnect', 'pause', 'loss' or 'delay'"),
        (network(fault='"pause"', wall='"2min"'), "'wall' is"),
        (event(at='"24:00"', kind='"kill"', part='"broker"', down='"1s"'), "begins at 24:00:00"),
        (event(at="01:00:00.5", kind='"kill"', part='"broker"', down='"1s"'), "not an offset"),
    ],
)
def test_faults_of_events(events: str, saying: str) -> None:
    # Top-level keys must stand before the first table.
    text = events + HEAD if events.startswith("event =") else HEAD + events
    assert saying in "\n".join(faults_of(text))


@pytest.mark.parametrize(
    ("select", "saying"),
    [
        ("{ customers = [50] }", "two numbers, the least and the most"),
        ("{ customers = [1, 2, 3] }", "two numbers, the least and the most"),
        ("{ customers = [9, 3] }", "is empty"),
        ("{ customers = [0, 3] }", "greater than or equal to 1"),
        ("{ customers = 5 }", "must be a list"),
        ('{ customers = [1, 2], id = "T1" }', "'customers' does not belong here"),
        ('{ id = "" }', "must not be empty"),
        ("{ }", "'customers' is missing"),
    ],
)
def test_faults_of_selectors(select: str, saying: str) -> None:
    text = HEAD + event(at="01:00:00", kind='"outage"', device='"section"', duration='"1h"', select=select)
    (fault,) = [fault for fault in faults_of(text) if saying in fault]
    assert fault.startswith(f"file.toml, line {FIRST_FREE_LINE + 5}: ")


def test_criteria_may_be_quoted_or_nested() -> None:
    quoted = read(HEAD + '[criteria]\n"reads.success_rate" = 0.99\n').criteria
    assert quoted == read(HEAD + "[criteria]\nreads.success_rate = 0.99\n").criteria == {"reads.success_rate": 0.99}
    assert "given twice" in faults_of(HEAD + '[criteria]\n"a.b" = 1\na.b = 2\n')[0]
    assert "must be a number" in faults_of(HEAD + '[criteria]\n"a.b" = nan\n')[0]


def test_syntax_errors_have_their_line() -> None:
    (fault,) = faults_of(HEAD + "oh dear\n")
    assert "not valid TOML" in fault
    assert f"line {FIRST_FREE_LINE}" in fault


def test_an_unknown_name_lists_the_bundled_ones() -> None:
    with pytest.raises(UserError) as error:
        load_scenario("quickstrat")
    bundled = [
        "acceptance", "bad-day-mesh", "bad-network", "containers", "demonstration", "quickstart", "rolling-update",
    ]  # fmt: skip
    assert bundled_scenarios() == bundled
    assert error.value.hint == f"Bundled scenarios: {', '.join(bundled)}. Did you mean 'quickstart'?"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Is a directory"):
        load_scenario(str(tmp_path))
    latin = tmp_path / "latin.toml"
    latin.write_bytes("name = 'Grün'".encode("latin-1"))
    with pytest.raises(UserError, match="not UTF-8"):
        load_scenario(str(latin))
    for name in ("", "a\0b", "x" * 5_000):
        with pytest.raises(UserError, match="there is no scenario"):
            load_scenario(name)


def test_a_file_with_a_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "windows.toml"
    path.write_bytes(b"\xef\xbb\xbf" + (HEAD + event(at='"1:00"', kind='"rebot"')).replace("\n", "\r\n").encode())
    with pytest.raises(UserError) as error:
        load_scenario(str(path))
    assert f"line {FIRST_FREE_LINE + 2}: " in error.value.faults[0]


def test_values_nested_without_end() -> None:
    assert faults_of("a = " + "[" * 20_000 + "]" * 20_000)


@given(st.text(max_size=200))
def test_any_text_is_a_scenario_or_a_user_error(text: str) -> None:
    with pytest.raises(UserError):
        read(text)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["at", "kind", "id", "x y"]), inner, max_size=3)
    ),
    max_leaves=5,
)


def as_toml(value: object) -> str:
    match value:
        case bool() | None:
            return "true" if value else "false"
        case str():
            return '"' + "".join(f"\\U{ord(character):08X}" for character in value) + '"'
        case list():
            return "[\n" + "".join(f"  {as_toml(item)}, # ] ' \"\n" for item in value) + "]"
        case dict():
            return "{ " + ", ".join(f"{as_toml(key)} = {as_toml(item)}" for key, item in value.items()) + " }"
        case _:
            return repr(value)


@given(
    st.dictionaries(st.sampled_from(["name", "start", "duration", "settle", "seed", "x"]), VALUES, min_size=1),
    st.lists(
        st.dictionaries(
            st.sampled_from(["at", "kind", "device", "duration", "select", "part", "down", "line"]),
            VALUES | st.sampled_from(["outage", "kill", "reboot", "uplink_loss", "1h", "01:00"]),
        ),
        max_size=3,
    ),
)
def test_any_values_under_known_keys_are_a_scenario_or_a_user_error(
    head: dict[str, object], events: list[dict[str, object]]
) -> None:
    text = "[scenario]\n" + "".join(f"{key} = {as_toml(value)}\n" for key, value in head.items())
    for keys in events:
        text += "[[event]]\n" + "".join(f"{key} = {as_toml(value)}\n" for key, value in keys.items())
    with pytest.raises(UserError) as error:
        read(text)
    assert all(fault.startswith("file.toml, line ") for fault in error.value.faults)


@given(
    st.lists(st.sampled_from(["a", "b c", 'q"uote', "d.ot", "é", "="]), min_size=1, max_size=4, unique=True),
    st.lists(VALUES, min_size=4, max_size=4),
    st.integers(0, 3),
)
def test_lines_of_keys_are_found_whatever_stands_between(names: list[str], values: list[object], tables: int) -> None:
    lines: dict[Sequence[str | int], int] = {}
    text = "# a comment with = and [brackets]\n"
    for table in range(tables + 1):
        text += '\n[["t.able"]] # ]]\n'
        lines["t.able", table] = text.count("\n")
        for name, value in zip(names, values, strict=False):
            lines["t.able", table, name] = text.count("\n") + 1
            text += f"{as_toml(name)} = {as_toml(value)} # = '''\n"
        lines["t.able", table, "multi"] = text.count("\n") + 1
        text += "multi = '''\nx = 1\n[y]\n''''\n" + 'other = """\\"""" # """\n'
        text += "[ 't.able' . sub ]\nz.w = 2\n"
        lines["t.able", table, "sub", "z", "w"] = text.count("\n")
    tomllib.loads(text)
    index = LineIndex(text)
    assert {path: index.line(path) for path in lines} == lines


@pytest.mark.parametrize(
    ("start", "saying"),
    [
        ("1999-06-01T00:00:00Z", "is before 2000-01-01"),
        ("1999-12-31T23:59:59Z", "is before 2000-01-01"),
        ("2000-01-01T01:00:00+02:00", "is before 2000-01-01"),
        ('"0001-01-01T00:00:00+14:00"', "is before 2000-01-01"),
        ("1969-06-01T00:00:00Z", "is before 2000-01-01"),
        ("2100-01-01T00:00:00Z", "is not before 2100-01-01"),
        ('"9999-12-31T23:59:59-14:00"', "is not before 2100-01-01"),
        ("2026-01-15T00:00:00", "has no offset from UTC"),
        ("2026-01-15", "2026-01-15 is not a time"),
        ('"10000-01-01T00:00:00Z"', "is not a time"),
        ("1768435200", "is not a time"),
        ("-1", "is not a time"),
    ],
)
def test_a_start_that_no_head_end_believes_is_refused_with_its_line(start: str, saying: str) -> None:
    (fault,) = faults_of(HEAD.replace("2026-01-15T00:00:00Z", start))
    assert fault.startswith("file.toml, line 3: 'start'")
    assert saying in fault


def test_a_start_on_the_first_and_the_last_day() -> None:
    assert read(HEAD.replace("2026-01-15T00:00:00Z", "2000-01-01T00:00:00Z")).start_s == 946_684_800
    assert read(HEAD.replace("2026-01-15T00:00:00Z", "1999-12-31T20:00:00-04:00")).start_s == 946_684_800
    text = HEAD.replace("2026-01-15T00:00:00Z", "2099-12-30T23:00:00Z")
    assert read(text).start_s == 4_102_354_800


@pytest.mark.parametrize("duration_s", [None, 10**11])
def test_a_run_that_outlasts_the_dates_is_refused_with_its_line(duration_s: int | None) -> None:
    text = HEAD.replace("2026-01-15T00:00:00Z", "2099-12-30T23:00:01Z")
    (fault,) = faults_of(text, duration_s=duration_s)
    assert fault.startswith("file.toml, line 4: with its settling time the run ends after 2100-01-01")


def test_durations() -> None:
    assert [parse_duration(text) for text in ("40s", "45min", "24h", "2d", "1h30min", "1d 2h 3min 4s")] == [
        40, 2_700, 86_400, 172_800, 5_400, 93_784,
    ]  # fmt: skip
    for wrong in ("", "s", "24", "24 hours", "-1h", "1.5h", "30min1h", "0s", 24, None, "٣s"):
        with pytest.raises(ValueError, match="duration"):
            parse_duration(wrong)


def test_the_interval_is_the_profiles_unless_the_fleet_is_set_to_another() -> None:
    assert read(HEAD).fleet.interval_s is None
    assert read(HEAD + 'interval = "1min"\n').fleet.interval_s == 60


@pytest.mark.parametrize(
    ("interval", "part"),
    [('"7s"', "does not divide a day"), ('"1s"', "too short"), ("900", "is not a duration"), ('"2d"', "divide a day")],
)
def test_an_interval_that_does_not_divide_a_day_is_refused(interval: str, part: str) -> None:
    (fault,) = faults_of(HEAD + f"interval = {interval}\n")
    assert fault.startswith(f"file.toml, line {FIRST_FREE_LINE}: 'interval': ")
    assert part in fault


def test_a_fleet_is_a_preset_or_one_profile() -> None:
    text = HEAD.replace('profile = "rl-dsp"', 'preset = "plc"')
    assert read(text).fleet.by_profile == {"sparkplug-plc": 1.0}
    assert read(HEAD.replace('profile = "rl-dsp"', "")).fleet.by_profile == PRESETS["bakeoff"].shares
    assert read(HEAD).fleet.by_profile == {"rl-dsp": 1.0}
    with pytest.raises(UserError) as both:
        read(HEAD.replace('profile = "rl-dsp"', 'profile = "rl-dsp"\npreset = "plc"'))
    assert "'preset' and 'profile' exclude each other" in both.value.faults[0]
    with pytest.raises(UserError) as unknown:
        read(HEAD.replace('profile = "rl-dsp"', 'preset = "mash"'))
    assert "'mash' is no fleet; there are bakeoff, cellular, mesh, plc" in unknown.value.faults[0]


def fleet_of(line: str) -> str:
    return HEAD.replace('profile = "rl-dsp"', line)


def test_vendors_are_mixed_in_shares_of_ones_own() -> None:
    text = fleet_of('shares = { rl-dsp = 0.3, sdm630 = 0.1, "file:acme.toml" = 0.6 }')
    assert read(text).fleet.by_profile == {"rl-dsp": 0.3, "sdm630": 0.1, "file:acme.toml": 0.6}


def test_a_preset_is_shares_by_name() -> None:
    shares = ", ".join(f"{name} = {share}" for name, share in PRESETS["bakeoff"].shares.items())
    assert list(read(fleet_of(f"shares = {{ {shares} }}")).fleet.by_profile.items()) == list(
        read(fleet_of('preset = "bakeoff"')).fleet.by_profile.items()
    ), "in the same order: the seed gives each usage point the same meter"


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("shares = { rl-dsp = 0.3, sdm630 = 0.6 }", "'shares': the shares sum to 0.9; they must sum to 1"),
        ("shares = { rl-dsp = 0.0, sdm630 = 1.0 }", "'rl-dsp' is 0.0"),
        ("shares = {}", "'shares': there is no vendor in it"),
        ('shares = "rl-dsp"', "write { rl-dsp = 0.3, sdm630 = 0.7 }"),
        ('preset = "plc"\nshares = { rl-dsp = 1 }', "'preset' and 'shares' exclude each other"),
        ("shares = { rl-dps = 0.5, sdm630 = 0.5 }", "'rl-dps' is no vendor profile; there are "),
        ('profile = "acme"', "'acme' is no vendor profile; there are "),
        ('profile = "sparkplug-mash"', "Did you mean 'sparkplug-mesh'?"),
    ],
)
def test_shares_that_cannot_be_are_refused_in_one_line(line: str, part: str) -> None:
    (fault,) = faults_of(fleet_of(line))
    number = FIRST_FREE_LINE - 1 + line.count("\n")
    assert fault.startswith(f"file.toml, line {number}: ")
    assert part in fault


def test_a_profiles_file_is_seen_from_the_scenarios(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(fleet_of('shares = { rl-dsp = 0.5, "file:meters/acme.toml" = 0.5 }'))
    shares = load_scenario(str(tmp_path / "small.toml")).fleet.by_profile
    assert shares == {"rl-dsp": 0.5, f"file:{tmp_path}/meters/acme.toml": 0.5}


def test_the_transformers_meter_is_a_vendor_or_a_file(tmp_path: Path) -> None:
    (fault,) = faults_of(HEAD + 'transformer_meters = "sdm63"\n')
    assert f"line {FIRST_FREE_LINE}" in fault
    assert "'sdm63' is no vendor profile" in fault
    assert read(HEAD + 'transformer_meters = "none"\n').fleet.at_transformers is None
    (tmp_path / "own.toml").write_text(HEAD + 'transformer_meters = "file:station.toml"\n')
    assert load_scenario(str(tmp_path / "own.toml")).fleet.at_transformers == f"file:{tmp_path}/station.toml"


def test_a_package_that_brings_a_vendor_of_ours_is_the_users_to_correct(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "foreign-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[amilab.meters]\nsdm630 = foreign\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry._vendors.cache_clear()
    try:
        with pytest.raises(UserError, match=r"two vendors are called 'sdm630'.*foreign"):
            load_scenario("quickstart")
    finally:
        registry._vendors.cache_clear()


def test_the_command_line_names_a_preset_a_vendor_or_shares() -> None:
    assert parse_fleet("mesh") == PRESETS["mesh"].shares
    assert parse_fleet("rl-dsp") == {"rl-dsp": 1.0}
    assert parse_fleet("rl-dsp=0.25, file:a=b.toml=0.75") == {"rl-dsp": 0.25, "file:a=b.toml": 0.75}
    for wrong, part in (
        ("rl-dsp=0.5,sdm630=x", "'sdm630=x' is no share"),
        ("rl-dsp=0.5,sdm630=0.6", "sum to 1.1"),
        ("rl-dsp=0.5,rl-dsp=0.5", "rl-dsp is given twice"),
        ("rl-dsp=nan", "must be above 0"),
    ):
        with pytest.raises(ValueError, match=part):
            parse_fleet(wrong)


def test_a_scenario_may_ask_for_a_balanced_flow() -> None:
    balanced = HEAD.replace('name = "schutterwald"', 'name = "schutterwald"\nflow = "balanced"')
    assert (read(HEAD).feeder.flow, read(balanced).feeder.flow) == ("three-phase", "balanced")
    (fault,) = faults_of(balanced.replace('"balanced"', '"unbalanced"'))
    assert "'flow' is 'unbalanced': input should be 'three-phase' or 'balanced'" in fault


def test_another_feeder_keeps_the_flow_and_leaves_the_time_zone() -> None:
    own = HEAD.replace('name = "schutterwald"', 'name = "schutterwald"\nflow = "balanced"\ntime_zone = "Asia/Tokyo"')
    elsewhere = with_choices(read(own), "simbench:1-LV-rural1--0-sw", None, None).feeder
    assert (elsewhere.name, elsewhere.flow, elsewhere.time_zone) == ("simbench:1-LV-rural1--0-sw", "balanced", None)


def test_every_wrong_ratio_is_told_with_its_usage_point() -> None:
    ratios = '{ "UP-1" = "0/5", "UP-2" = "200/5", "UP-3" = 40, "UP-4" = "1e3/5" }'
    told = faults_of(HEAD + f"current_transformers = {ratios}\n")
    assert [fault.partition(": ")[2][:6] for fault in told] == ["'UP-1'", "'UP-3'", "'UP-4'"]
    assert "'0/5' is no ratio: write primary by secondary" in told[0]


def test_an_empty_range_of_customers_is_told_beside_other_faults() -> None:
    text = event(
        at='"01:00:00"', kind='"conductor"', open='"L4"', device='"line"', duration='"1h"',
        select="{ customers = [60, 10] }",
    )  # fmt: skip
    told = faults_of(HEAD + text)
    assert len(told) == 2
    assert "'open' is 'L4'" in told[0]
    assert "'customers': [60, 10] is empty: the least comes first" in told[1]
