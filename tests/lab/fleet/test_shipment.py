"""The shipment file as the lab writes it is what both sides read, each by itself."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import assume, example, given
from hypothesis import strategies as st

from headend.errors import ShipmentError as AtTheUtility
from headend.registry import read_shipment as read_at_the_utility
from lab.fleet.instrument_transformers import checked_ratio, ratio_of
from lab.fleet.shipment import ShippedMeter, write_command_key, write_shipment
from meters.errors import ShipmentError as AtTheMeters
from meters.fleet.shipment import read_shipment as read_at_the_meters
from meters.vendors.registry import load_profile, read_profile

PUBLIC_KEY = base64.urlsafe_b64encode(bytes(32)).rstrip(b"=").decode()


def test_both_sides_read_the_same_meters(tmp_path: Path) -> None:
    public = write_command_key(tmp_path / "key")
    points = ["UP-1", 'UP-"2", north', "UP-3"]
    meters = [
        ShippedMeter(f"AMI{n}", point, load_profile("rl-dsp"), f"user{n}", f"pw{n}") for n, point in enumerate(points)
    ]
    meters[1] = replace(meters[1], profile=load_profile("sparkplug-mesh"), address="COL0001", max_current_a=400.0)
    meters[2] = replace(meters[2], phases=("L2",))
    write_shipment(tmp_path / "shipment.csv", meters, group="g1", command_public_key=public)
    devices = read_at_the_utility(tmp_path / "shipment.csv", command_public_key=public)
    entries = read_at_the_meters(tmp_path / "shipment.csv")
    assert [device.serial for device in devices] == [entry.serial for entry in entries] == [m.serial for m in meters]
    assert [device.usage_point for device in devices] == ["UP-1", 'UP-"2", north', "UP-3"]
    assert [device.max_current_a for device in devices] == [None, 400.0, None]
    assert [entry.usage_point for entry in entries] == ["UP-1", 'UP-"2", north', "UP-3"]
    assert [(entry.username, entry.password) for entry in entries] == [(m.username, m.password) for m in meters]
    assert [entry.phases for entry in entries] == [meter.phases for meter in meters]
    assert [device.address for device in devices] == [entry.address for entry in entries] == ["", "COL0001", ""]


def test_the_head_end_hears_what_is_other_than_the_vendors_own(tmp_path: Path) -> None:
    (tmp_path / "acme.toml").write_text(
        'name = "acme"\ntitle = "Acme"\nwire = "rl-dsp"\n[facts]\n'
        + "".join(
            f'{name} = {{ value = {value}, source = "data sheet" }}\n'
            for name, value in (
                ("interval_length_s", 300), ("report_every_s", 300), ("register_roll_over_wh", 10_000_000),
                ("max_current_a", 60),
            )
        )
    )  # fmt: skip
    public = write_command_key(tmp_path / "key")
    plain, acme = load_profile("rl-dsp"), read_profile(tmp_path / "acme.toml")
    meters = [ShippedMeter("A1", "UP1", plain, "u", "p"), ShippedMeter("A2", "UP2", acme, "u", "p")]
    meters.append(replace(meters[0], serial="A3", usage_point="UP3", profile=plain.at_interval(60)))
    meters.append(replace(meters[1], serial="A4", usage_point="UP4", max_current_a=400.0))
    write_shipment(tmp_path / "shipment.csv", meters, group="g1", command_public_key=public)
    devices = read_at_the_utility(tmp_path / "shipment.csv", command_public_key=public)
    facts = [
        (each.interval_length_s, each.report_every_s, each.register_range_wh) for each in (d.driver for d in devices)
    ]
    assert facts == [(900, 900, 10**9), (300, 300, 10**7), (60, 60, 10**9), (300, 300, 10**7)]
    assert [device.max_current_a for device in devices] == [None, 60.0, None, 400.0]
    assert {device.driver.mqtt is devices[0].driver.mqtt for device in devices} == {True}
    entries = read_at_the_meters(tmp_path / "shipment.csv")
    assert [(entry.wire, entry.interval_length_s) for entry in entries] == [
        ("", 900), ("rl-dsp", 300), ("", 60), ("rl-dsp", 300),
    ]  # fmt: skip


@given(st.integers(1, 99_999), st.integers(1, 999), st.integers(1, 99_999), st.integers(1, 999))
@example(200, 3, 10_000, 1)
@example(10_000, 999, 999, 998)
def test_any_ratio_of_a_scenario_is_the_same_on_both_sides(
    tmp_path_factory: pytest.TempPathFactory, primary_a: int, secondary_a: int, primary_v: int, secondary_v: int
) -> None:
    scenario = {"current": f"{primary_a}/{secondary_a}", "voltage": f"{primary_v}/{secondary_v}"}
    assume(all(1.0 <= ratio_of(text) <= 10_000.0 for text in scenario.values()))
    current, voltage = map(ratio_of, map(checked_ratio, scenario.values()))
    meter = ShippedMeter("A1", "UP1", load_profile("rl-dsp"), "u", "p", current_ratio=current, voltage_ratio=voltage)
    path = tmp_path_factory.mktemp("shipped") / "shipment.csv"
    write_shipment(path, [meter], group="g1", command_public_key=PUBLIC_KEY)
    (device,), (entry,) = read_at_the_utility(path), read_at_the_meters(path)
    assert (device.current_ratio, device.voltage_ratio) == (entry.current_ratio, entry.voltage_ratio)
    assert (entry.current_ratio, entry.voltage_ratio) == pytest.approx((current, voltage), rel=1e-12)


@pytest.mark.parametrize(
    "ratio",
    ["0.5", "0.999999999999", "10001", "10000.000001", "1e4", "1_0", " 5 ", "+5", "nan", "inf", "-5", "٥", "5."],
)
def test_neither_side_takes_what_is_no_ratio(tmp_path: Path, ratio: str) -> None:
    path = tmp_path / "shipment.csv"
    meter = ShippedMeter("A1", "UP1", load_profile("rl-dsp"), "u", "p", current_ratio=40.0)
    write_shipment(path, [meter], group="g1", command_public_key=PUBLIC_KEY)
    path.write_text(path.read_text().replace(",40,", f",{ratio},"))
    with pytest.raises(AtTheUtility, match=r"line 2: current_ratio .* is not a number from 1 to 10,000"):
        read_at_the_utility(path)
    with pytest.raises(AtTheMeters, match=r"line 2: current_ratio .* is not a number from 1 to 10,000"):
        read_at_the_meters(path)


def test_the_private_key_fits_the_public_one_and_is_for_the_owner_only(tmp_path: Path) -> None:
    public = write_command_key(tmp_path / "key")
    private = Ed25519PrivateKey.from_private_bytes(
        base64.urlsafe_b64decode((tmp_path / "key").read_text().strip() + "=")
    )
    assert private.public_key().public_bytes_raw() == base64.urlsafe_b64decode(public + "=")
    assert (tmp_path / "key").stat().st_mode & 0o077 == 0
