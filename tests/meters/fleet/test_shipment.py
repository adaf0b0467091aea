from __future__ import annotations

from pathlib import Path

import pytest

from meters.errors import ShipmentError
from meters.fleet.shipment import read_shipment

HEADER = "serial,vendor_profile,usage_point,group,username,password,command_public_key,address"
KEY = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA"
GOOD = f"AMI00000001,rl-dsp,UP1,run1,AMI00000001,secret,{KEY},"


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_good_file_gives_its_meters_in_order(tmp_path: Path) -> None:
    second = GOOD.replace("AMI00000001", "AMI00000002")
    entries = read_shipment(write(tmp_path / "shipment.csv", HEADER, second, GOOD))
    assert [entry.serial for entry in entries] == ["AMI00000002", "AMI00000001"]
    assert entries[0].command_public_key == bytes(range(1, 33))
    assert (entries[1].group, entries[1].username, entries[1].password) == ("run1", "AMI00000001", "secret")


def test_the_current_of_transformers_may_be_said(tmp_path: Path) -> None:
    lines = (f"{HEADER},max_current_a", f"{GOOD},400", f"{GOOD},".replace("AMI00000001", "AMI00000002"))
    assert len(read_shipment(write(tmp_path / "shipment.csv", *lines))) == 2
    with pytest.raises(ShipmentError, match="line 2: has 8 fields, not 9"):
        read_shipment(write(tmp_path / "shipment.csv", lines[0], GOOD))


def test_phases_are_all_three_unless_it_says_which(tmp_path: Path) -> None:
    lines = [GOOD.replace("AMI00000001", f"AMI{n}") for n in range(3)]
    path = write(tmp_path / "s.csv", f"{HEADER},phases", f"{lines[0]},", f"{lines[1]},L2", f"{lines[2]},L1/L3")
    assert [entry.phases for entry in read_shipment(path)] == [("L1", "L2", "L3"), ("L2",), ("L1", "L3")]


@pytest.mark.parametrize("phases", ["L4", "l1", "L2/L1", "L1/L1", "/", "N"])
def test_phases_that_are_none_are_refused(tmp_path: Path, phases: str) -> None:
    with pytest.raises(ShipmentError, match=r"line 2: phases .* are none of L1, L2, L3, L1/L2, "):
        read_shipment(write(tmp_path / "s.csv", f"{HEADER},phases", f"{GOOD},{phases}"))


@pytest.mark.parametrize("period", ["0", "15min", "-900", "٣", "9" * 5_000])
def test_a_capture_period_is_a_whole_number_of_seconds(tmp_path: Path, period: str) -> None:
    lines = (f"{HEADER},interval_length_s", f"{GOOD},{period}")
    with pytest.raises(ShipmentError, match=r"line 2: interval_length_s .* is not a whole number of seconds"):
        read_shipment(write(tmp_path / "shipment.csv", *lines))


def test_a_meter_behind_a_gateway_has_an_address_and_no_credentials(tmp_path: Path) -> None:
    line = f"AMI00000001,sdm630,UP1,run1,,,{KEY},127.0.0.1:1502/7"
    (entry,) = read_shipment(write(tmp_path / "shipment.csv", HEADER, line))
    assert (entry.address, entry.username, entry.password) == ("127.0.0.1:1502/7", "", "")


@pytest.mark.parametrize("address", ["COL/1", "COL+", "#", "COL\x00"])
def test_a_collectors_name_can_stand_in_a_topic(tmp_path: Path, address: str) -> None:
    line = f"AMI00000001,sparkplug-mesh,UP1,run1,COL1,secret,{KEY},{address}"
    with pytest.raises(ShipmentError, match=r"line 2: address .* cannot stand in a topic"):
        read_shipment(write(tmp_path / "shipment.csv", HEADER, line))


def test_every_faulty_line_is_listed(tmp_path: Path) -> None:
    path = write(
        tmp_path / "shipment.csv", HEADER, GOOD, GOOD, "AMI3,rl-dsp", GOOD.replace("AMI00000001,rl", "AMI#4,rl"),
        GOOD.replace("AMI00000001,rl", "AMI5,rl").replace(KEY, "short"),
        GOOD.replace("AMI00000001,rl", "AMI6,rl").replace("secret", ""),
    )  # fmt: skip
    with pytest.raises(ShipmentError) as raised:
        read_shipment(path)
    message = str(raised.value)
    for expected in (
        "line 3: serial AMI00000001 is already on line 2", "line 4: has 2 fields, not 8",
        "line 5: serial 'AMI#4' is not alphanumeric", "line 6: command_public_key is not 32 bytes",
        "line 7: password is empty",
    ):  # fmt: skip
        assert expected in message


@pytest.mark.parametrize(
    "address",
    [
        "",
        "h",
        "h:502",
        "h/1",
        "h:502/",
        ":502/1",
        "h:0/1",
        "h:65536/1",
        "h:502/0",
        "h:502/248",
        "h:502/x",
        "h:²/1",
        "::1:502/1",
    ],
)
def test_an_address_that_is_no_meters_is_refused(tmp_path: Path, address: str) -> None:
    line = f"AMI1,sdm630,UP1,run1,,,{KEY},{address}"
    with pytest.raises(ShipmentError, match=r"line 2: .*is not host:port/unit with a port from 1 to 65535"):
        read_shipment(write(tmp_path / "shipment.csv", HEADER, line))


def test_two_meters_at_one_unit_are_refused(tmp_path: Path) -> None:
    lines = [f"AMI{number},sdm630,UP{number},run1,,,{KEY},{host}:502/1" for number, host in enumerate(("gw", "GW"))]
    with pytest.raises(ShipmentError, match="line 3: unit 1 of gw:502 is already on line 2"):
        read_shipment(write(tmp_path / "shipment.csv", HEADER, *lines))


@pytest.mark.parametrize(
    ("lines", "message"),
    [((), "the header must be"), (("serial",), "the header must be"), ((HEADER,), "lists no meter")],
)
def test_files_without_meters(tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
    with pytest.raises(ShipmentError, match=message):
        read_shipment(write(tmp_path / "shipment.csv", *lines))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ShipmentError, match="cannot be read"):
        read_shipment(tmp_path / "none.csv")


def test_a_field_of_a_megabyte_is_a_fault_of_its_line(tmp_path: Path) -> None:
    path = write(tmp_path / "shipment.csv", HEADER, "x" * 1_000_000)
    with pytest.raises(ShipmentError, match="line 2: field larger"):
        read_shipment(path)
