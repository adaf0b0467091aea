"""Which drivers there are: folders of the package, and what other distributions offer."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headend.drivers import catalogue, driver_for, known_profiles
from headend.errors import DriverError

ACME = Path(__file__).parents[2] / "vendors" / "acme"
HOME = Path(catalogue.__file__).parent


@pytest.fixture
def fresh() -> Iterator[None]:
    """What is offered is looked up once in a process: here anew."""
    catalogue._drivers.cache_clear()
    yield
    catalogue._drivers.cache_clear()


@pytest.fixture
def offer(fresh: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets a distribution `foreign` with these files offer these drivers."""

    def offer(points: dict[str, str], **files: str) -> None:
        information = tmp_path / "foreign-1.0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1.0\n")
        lines = [f"{name} = {value}" for name, value in points.items()]
        (information / "entry_points.txt").write_text("\n".join(["[amilab.drivers]", *lines]) + "\n")
        for name, text in files.items():
            (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)

    return offer


def folders() -> list[str]:
    return sorted(
        path.name for path in HOME.iterdir() if any(path.glob("driver.toml")) or any(path.glob("__init__.py"))
    )


@pytest.mark.parametrize("folder", folders())
def test_each_folder_is_a_driver_with_what_its_carrier_needs(folder: str) -> None:
    profile = folder.replace("_", "-")
    assert profile in known_profiles()
    driver = driver_for(profile)
    meter = driver.capabilities
    assert driver.vendor_profile == profile
    assert [name for name in ("mqtt", "sparkplug", "modbus") if getattr(driver, name) is not None] == [meter.carrier]
    assert driver.report_every_s % driver.interval_length_s == 0
    assert driver.register_range_wh > 0
    assert meter.reports_itself is (meter.carrier != "modbus")
    assert ("load_profile.read" in meter.purposes) is meter.keeps_load_profile
    if driver.modbus is not None:
        assert meter.last_verifier == "gateway_link", "Modbus has no place for a signature"


def test_an_unknown_profile_is_one_line_that_says_what_there_is() -> None:
    with pytest.raises(DriverError) as error:
        driver_for("nobody-1")
    assert str(error.value) == f"no driver for vendor profile 'nobody-1'; known: {', '.join(known_profiles())}"


def test_a_distribution_adds_a_driver_by_entry_point(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "acme-dm3" not in known_profiles()
    catalogue._drivers.cache_clear()
    monkeypatch.syspath_prepend(ACME)
    driver = driver_for("acme-dm3")
    assert driver.modbus is not None
    # Words as they travel: bytes swapped. 1,234,567.89 kWh; 500 W exported; two phases.
    energies = [0x0000, 0x0000, 0x5B07, 0x15CD, 0, 0, 0, 0x0A00, 0x0000, 0x50C3]
    found = driver.modbus.decode([[0, 0x0409, 0, 0x0309, 0xFFFF, 0xFFFF], energies])
    assert found.import_register_wh == 1_234_567_890
    assert found.export_register_wh == 100
    assert found.active_power_w == -500
    assert found.voltages_v[:2] == (230.8, 230.7)
    (identity,) = driver.modbus.identity
    driver.modbus.identify(identity, [0x3EAC, 0x0300], "A1")


def test_every_fault_of_what_is_offered_is_said_at_once(offer: Callable[..., None]) -> None:
    taken = known_profiles()[0]
    catalogue._drivers.cache_clear()
    offer(
        {
            "a": "absent_module:DRIVER",
            "b": "foreign_b:NOTHING",
            "c": "foreign_c",
            "d": "foreign_d:DRIVER",
            "e": "foreign_d",
            "f": "foreign_f",
            "g": "foreign_g",
        },
        foreign_b="",
        foreign_c="",
        foreign_d=(
            "from headend.drivers import Capabilities, Driver, MqttTopic\n"
            "topics = {'all': MqttTopic(len)}\n"
            f"DRIVER = Driver({taken!r}, Capabilities('mqtt', True, False, False), 900, 900, mqtt=topics)\n"
        ),
        foreign_f="this is no Python",
        foreign_g="DRIVER = len(3)",
    )
    with pytest.raises(DriverError) as error:
        known_profiles()
    said = str(error.value).splitlines()
    assert "correct or uninstall" in said[0]
    assert len(said) == 8
    absent = "cannot be imported"
    for name, fault in zip("abcdefg", [absent, absent, "neither", taken, taken, absent, absent], strict=True):
        (line,) = [line for line in said if f"entry point {name} of foreign" in line]
        assert fault in line


COUNTING = "Capabilities('mqtt', True, False, False)"


@pytest.mark.parametrize(
    ("stated", "fault"),
    [
        (f"'x-1', {COUNTING}, 900, 900", "its carrier is mqtt, and it has no decoder"),
        (f"'x-1', {COUNTING}, 900, 900, mqtt={{}}", "its carrier is mqtt, and it has no decoder"),
        (f"'x-1', {COUNTING}, 900, 900, sparkplug=len", "its carrier is mqtt, and it has decoders for sparkplug"),
        ("'x-1', Capabilities('dlms', True, False, False), 900, 900", "carrier 'dlms' is not one of mqtt, sparkplug"),
        (f"'x 1', {COUNTING}, 900, 900, mqtt=TOPICS", "vendor_profile 'x 1' is not made of"),
        (f"'x-1', {COUNTING}, 900, 900, mqtt=TOPICS | {{'+/x': TOPIC}}", "topic '+/x' cannot be part of a filter"),
        (f"'x-1', {COUNTING}, 900, 900, mqtt=TOPICS | {{'#': TOPIC}}", "topic '#' cannot be part of a filter"),
        (f"'x-1', {COUNTING}, 900, 900, mqtt=TOPICS | {{'_fence': TOPIC}}", "topic '_fence' cannot be part of"),
        (f"'x-1', {COUNTING}, 900, 900, mqtt=TOPICS | {{'': TOPIC}}", "topic '' cannot be part of a filter"),
        (
            "'x-1', Capabilities('mqtt', True, False, False, medium='satellite'), 900, 900, mqtt=TOPICS",
            "medium 'satellite' is not one of mesh, plc",
        ),
        (
            "'x-1', Capabilities('mqtt', True, False, False, last_verifier='gateway_link'), 900, 900, mqtt=TOPICS",
            "last_verifier is gateway_link: over Modbus",
        ),
        ("'x-1', Capabilities('mqtt', True, True, False), 900, 900, mqtt=TOPICS", "purposes: load_profile.read is"),
        (f"'x-1', {COUNTING}, 0, 900, mqtt=TOPICS", "interval_length_s 0 is not"),
        (f"'x-1', {COUNTING}, 700, 700, mqtt=TOPICS", "interval_length_s 700 is not a whole number of seconds that"),
        (f"'x-1', {COUNTING}, 900, 1000, mqtt=TOPICS", "report_every_s 1000 is not a multiple"),
        (f"'x-1', {COUNTING}, 900, 900, float('inf'), mqtt=TOPICS", "max_current_a inf is not a current"),
        (f"'x-1', {COUNTING}, 900, 900, 80.0, 0, mqtt=TOPICS", "register_range_wh 0 is not"),
    ],
)
def test_a_driver_that_contradicts_itself_is_refused(
    offer: Callable[..., None], monkeypatch: pytest.MonkeyPatch, stated: str, fault: str
) -> None:
    monkeypatch.delitem(sys.modules, "foreign_x", raising=False)
    offer(
        {"x": "foreign_x"},
        foreign_x=(
            "from headend.drivers import Capabilities, Driver, MqttTopic\n"
            "TOPIC = MqttTopic(len)\n"
            "TOPICS = {'all/of-it': TOPIC}\n"
            f"DRIVER = Driver({stated})\n"
        ),
    )
    with pytest.raises(DriverError) as error:
        known_profiles()
    assert f"entry point x of foreign: {fault}" in str(error.value)


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        (b"interval_length_s = 900", b"interval_length_s = 700", "interval_length_s 700 is not"),
        (b"max_current_a = 100.0", b"max_current_a = 100e3001", "max_current_a"),
        (b"# Eastron", b"# \xff", "not UTF-8"),
        (b"# Eastron", b"deep = " + b"[" * 5000 + b"#", "not TOML"),
        (b"# Eastron", b"long = " + b"9" * 5000 + b"#", "not TOML"),
    ],
)
def test_a_register_map_of_others_is_looked_at_too(
    offer: Callable[..., None], tmp_path: Path, before: bytes, after: bytes, fault: str
) -> None:
    folder = tmp_path / f"foreign_{after[:3].hex()}"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    stated = (HOME / "sdm630" / "driver.toml").read_bytes().replace(b'"sdm630"', b'"x-1"')
    assert before in stated
    (folder / "driver.toml").write_bytes(stated.replace(before, after))
    offer({"x": folder.name})
    with pytest.raises(DriverError) as error:
        known_profiles()
    assert "entry point x of foreign, driver.toml: " in str(error.value)
    assert fault in str(error.value)
