"""Starting: migrations, registry, keys, and every fault of the surroundings as one clear message."""

import asyncio
import base64
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import psycopg
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import make_conninfo
from pydantic import ValidationError

from headend.clock import ManualClock
from headend.commands.envelope import CommandSigner
from headend.drivers import driver_for
from headend.errors import (
    BrokerRefused,
    BrokerUnavailable,
    CommandKeyError,
    DatabaseRefused,
    DatabaseUnavailable,
    HeadEndError,
    MetricsPortError,
    SchemaTooNew,
    ShipmentError,
)
from headend.registry import ShippedDevice, read_shipment, refuse_doubled_transformers, register
from headend.service import HeadEnd
from headend.store.migrate import connection_info, migrate
from tests.headend.fleet import HEADER, LENGTH_S, START_S, Publisher, Shipment, event, opened, reading, serial
from tests.headend.reader import Reader
from tests.headend.services import Mosquitto, Postgres, free_port

pytest_plugins = ["tests.headend.fixtures"]


async def fault(head_end: HeadEnd, kind: type[HeadEndError]) -> str:
    with pytest.raises(kind) as error:
        async with asyncio.timeout(30):
            await head_end.start()
    return str(error.value)


async def test_no_broker(postgres: Postgres, schema: str, shipment: Shipment) -> None:
    port = free_port()
    message = await fault(
        HeadEnd(shipment.settings(postgres.url(), schema, port), ManualClock(START_S)), BrokerUnavailable
    )
    assert f"127.0.0.1:{port}" in message
    assert "is it running" in message


async def test_a_port_where_something_else_listens(postgres: Postgres, schema: str, shipment: Shipment) -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = shipment.settings(postgres.url(), schema, port, connect_timeout_s=0.3, startup_timeout_s=0.5)
    assert "no answer in time" in await fault(HeadEnd(settings, ManualClock(START_S)), BrokerUnavailable)
    server.close()


async def test_wrong_broker_password(postgres: Postgres, mosquitto: Mosquitto, schema: str, shipment: Shipment) -> None:
    settings = shipment.settings(postgres.url(), schema, mosquitto.port, broker_password="wrong")
    assert "user name and password" in await fault(HeadEnd(settings, ManualClock(START_S)), BrokerRefused)


async def test_no_database(schema: str, shipment: Shipment) -> None:
    settings = shipment.settings("postgresql://u:hush@127.0.0.1:9/x", schema, 9, startup_timeout_s=0.5)
    message = await fault(HeadEnd(settings, ManualClock(START_S)), DatabaseUnavailable)
    assert "127.0.0.1:9" in message
    assert "hush" not in message


@pytest.mark.parametrize("part", ["password", "role", "database"])
async def test_a_database_that_refuses(postgres: Postgres, schema: str, shipment: Shipment, part: str) -> None:
    url = {
        "password": postgres.url(password="wrong"),
        "role": postgres.url(user="nobody_known"),
        "database": postgres.url() + "_missing",
    }[part]
    settings = shipment.settings(url, schema, 9)
    assert "check user, password" in await fault(HeadEnd(settings, ManualClock(START_S)), DatabaseRefused)


async def test_a_role_that_may_not_create_the_schema(postgres: Postgres, schema: str, shipment: Shipment) -> None:
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute("CREATE ROLE newcomer LOGIN PASSWORD 'newcomer'")
    settings = shipment.settings(postgres.url("newcomer", "newcomer"), schema, 9)
    assert "permission denied" in await fault(HeadEnd(settings, ManualClock(START_S)), DatabaseRefused)


async def test_a_database_of_another_encoding(postgres: Postgres, schema: str, shipment: Shipment) -> None:
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE plain_ascii ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'")
        url = make_conninfo(postgres.url(), dbname="plain_ascii")
    message = await fault(HeadEnd(shipment.settings(url, schema, 9), ManualClock(START_S)), DatabaseRefused)
    assert "SQL_ASCII" in message
    assert "ENCODING 'UTF8'" in message


async def test_a_schema_of_a_newer_release(postgres: Postgres, schema: str, shipment: Shipment) -> None:
    migrate(postgres.url(), schema)
    with psycopg.connect(connection_info(postgres.url(), schema), autocommit=True) as connection:
        connection.execute("INSERT INTO _yoyo_migration SELECT 'hash', '9999.of-tomorrow', now()")
    message = await fault(HeadEnd(shipment.settings(postgres.url(), schema, 9), ManualClock(START_S)), SchemaTooNew)
    assert "9999.of-tomorrow" in message


def test_many_head_ends_migrate_at_once_and_quietly(
    postgres: Postgres, schema: str, capfd: pytest.CaptureFixture[str], database: Reader
) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: migrate(postgres.url(), schema), range(4)))
    migrations = [
        file for file in resources.files("headend").joinpath("migrations").iterdir() if file.name.endswith(".sql")
    ]
    assert database.value("SELECT count(*) FROM _yoyo_migration") == len(migrations)
    assert capfd.readouterr() == ("", "")


async def test_the_metrics_port_is_taken(
    postgres: Postgres, mosquitto: Mosquitto, schema: str, shipment: Shipment
) -> None:
    settings = shipment.settings(postgres.url(), schema, mosquitto.port, metrics_port=mosquitto.port)
    assert str(mosquitto.port) in await fault(HeadEnd(settings, ManualClock(START_S)), MetricsPortError)


async def test_devices_keep_their_registration_and_older_shipments_stay(
    postgres: Postgres, mosquitto: Mosquitto, schema: str, tmp_path: Path, database: Reader
) -> None:
    for directory, now_s, count in (("a", START_S, 2), ("b", START_S + 5000, 3), ("c", START_S + 9000, 1)):
        shipment = Shipment(tmp_path / directory, count)
        head_end = HeadEnd(shipment.settings(postgres.url(), schema, mosquitto.port), ManualClock(now_s))
        await head_end.start()
        await head_end.stop()
    assert database.rows("SELECT serial, extract(epoch FROM registered_at)::int8 FROM end_device ORDER BY id") == [
        (serial(0), START_S),
        (serial(1), START_S),
        (serial(2), START_S + 5000),
    ]


def test_a_shipment_lists_all_its_faults_with_their_lines(tmp_path: Path) -> None:
    file = tmp_path / "shipment.csv"
    good = "AMI1,rl-dsp,UP1,g,u,p,k,"
    lines = [
        ",".join(HEADER),
        good,
        good,
        ",rl-dsp,UP,g,u,p,k,",
        "AMI2,steam,UP,g,u,p,k,",
        "AMI3",
        "A/4,rl-dsp,UP,g-1,u,p,k,",
        "AMI5,sparkplug-mesh,UP,g,u,p,k,",
        "AMI6,sparkplug-plc,UP,g,u,p,k,COL/1",
        "AMI7,rl-dsp,UP,g,u,p,k,COL0001",
    ]
    file.write_text("\n".join(lines))
    with pytest.raises(ShipmentError) as error:
        read_shipment(file)
    message = str(error.value)
    for part in (
        "line 3: serial AMI1 was already on line 2",
        "line 4: serial is empty",
        "line 5: vendor profile 'steam' is unknown; known are ",
        "line 6: it does not have 8 fields",
        "line 7: serial 'A/4' cannot be part of a topic",
        "line 7: group 'g-1' is not alphanumeric",
        "line 8: address '' is not the name of a collector",
        "line 9: address 'COL/1' is not the name of a collector",
        "line 10: address 'COL0001': a meter of profile rl-dsp has a connection of its own",
    ):
        assert part in message


def test_a_meter_that_takes_no_command_needs_no_key_of_ours(tmp_path: Path) -> None:
    """docs/wire-rl-dsp.md has this line."""
    file = tmp_path / "shipment.csv"
    file.write_text(f"{','.join(HEADER)}\n12345678,rl-dsp-plain,UP-17,utility,utility-12345678,secret,,\n")
    (device,) = read_shipment(file, command_public_key="ours")
    assert (device.serial, device.vendor_profile) == ("12345678", "rl-dsp-plain")


def test_a_transformer_with_two_meters_is_refused_by_name() -> None:
    """By the network model, whatever it calls its transformers. Customers may have a check meter."""
    points = ("station 7", "station 7", "station 8", "UP1", "UP1")
    shipment = [ShippedDevice(f"AMI{at}", "sdm630", point, "g") for at, point in enumerate(points)]
    with pytest.raises(ShipmentError, match=r"^a transformer has one meter .*\n  station 7 has the meters AMI0, AMI1$"):
        refuse_doubled_transformers(shipment, {"station 7", "station 8"})
    refuse_doubled_transformers(shipment[1:], {"station 7", "station 8"})


WRONG_ADDRESSES = (
    *("", "10.0.0.1:502", "10.0.0.1/1", "10.0.0.1:502/0", "10.0.0.1:502/248", "10.0.0.1:502/300", "10.0.0.1:502/x"),
    *("10.0.0.1:0/1", "10.0.0.1:65536/1", "10.0.0.1:²/1", ":502/1", "::1:502/1", "[gw]:502/1", "gw:502/1 "),
)


def polled_lines(addresses: Sequence[str]) -> list[str]:
    return [f"AMI{number},sdm630,UP{number},g,u,p,k,{address}" for number, address in enumerate(addresses)]


def test_every_address_that_is_no_polled_meters_is_listed(tmp_path: Path) -> None:
    file = tmp_path / "shipment.csv"
    lines = polled_lines((*WRONG_ADDRESSES, "gw:502/1", "GW:502/01", "[::1]:502/1", "[0::1]:502/1", "gw:502/247"))
    file.write_text("\n".join([",".join(HEADER), *lines]))
    with pytest.raises(ShipmentError) as error:
        read_shipment(file)
    _, *said = str(error.value).splitlines()
    assert [line.strip() for line in said] == [
        *(
            f"line {number}: address {address!r} is not host:port/unit with a port from 1 to 65535 and a unit from 1 to"
            " 247"
            for number, address in enumerate(WRONG_ADDRESSES, start=2)
        ),
        "line 17: unit 1 of gw:502 was already on line 16",
        "line 19: unit 1 of [::1]:502 was already on line 18",
    ]


FACTS = ("wire", "interval_length_s", "report_every_s", "register_range_wh")


def shipped(directory: Path, profile: str, facts: str) -> Path:
    """A file with one meter, for which the manufacturer states these `FACTS`."""
    file = directory / "shipment.csv"
    file.write_text(f"{','.join((*HEADER, *FACTS))}\nAMI1,{profile},UP1,g,u,p,k,,{facts}\n")
    return file


def test_a_shipment_says_what_is_other_than_the_vendors_own(tmp_path: Path) -> None:
    (device,) = read_shipment(shipped(tmp_path, "acme", "rl-dsp,300,600,10000000"))
    assert (device.wire, device.interval_length_s, device.report_every_s) == ("rl-dsp", 300, 600)
    assert device.driver.register_range_wh == 10**7
    (plain,) = read_shipment(shipped(tmp_path, "rl-dsp", ",,,"))
    assert plain.driver == driver_for("rl-dsp")


@pytest.mark.parametrize(
    ("profile", "facts", "said"),
    [
        ("acme", ",300,300,", "vendor profile 'acme' is unknown; known are"),
        ("acme", "rldsp,300,300,", "wire 'rldsp' is unknown; known are"),
        ("rl-dsp", ",0,,", "interval_length_s '0' is not a whole number above 0"),
        ("rl-dsp", ",²,,", "interval_length_s '²' is not a whole number above 0"),
        (
            "rl-dsp",
            ",300,86400000000,",
            "report_every_s '86400000000' is not a whole number above 0 and below 2",
        ),
        ("rl-dsp", ",,,1e9", "register_range_wh '1e9' is not a whole number above 0"),
        ("rl-dsp", ",,,99999999999999999999", "register_range_wh '99999999999999999999' is not"),
        pytest.param("rl-dsp", f",,,{'9' * 5000}", "register_range_wh '9999", id="thousands of digits"),
        ("rl-dsp", ",7,,", "interval_length_s 7 does not divide a day"),
        ("rl-dsp", ",,900,", "report_every_s is given without interval_length_s"),
        ("rl-dsp", ",300,400,", "report_every_s 400 is not a multiple of interval_length_s 300"),
    ],
)
def test_facts_that_cannot_be_are_refused(tmp_path: Path, profile: str, facts: str, said: str) -> None:
    with pytest.raises(ShipmentError, match="line 2: ") as error:
        read_shipment(shipped(tmp_path, profile, facts))
    assert said in str(error.value)


def test_a_wrong_address_ends_the_program_with_2(tmp_path: Path) -> None:
    shipment = Shipment(tmp_path)
    shipment.path.write_text("\n".join([",".join(HEADER), *polled_lines(["10.0.0.1:502"])]))
    run = run_module(
        DATABASE_URL="postgresql://nobody@127.0.0.1:1/none",
        GROUP="test",
        SHIPMENT=str(shipment.path),
        COMMAND_KEY=str(shipment.key_path),
    )
    assert run.returncode == 2
    assert "line 2: address '10.0.0.1:502' is not host:port/unit" in run.stderr
    assert "Traceback" not in run.stderr


async def test_a_polled_meter_that_was_replaced_at_its_address_is_polled_no_more(
    postgres: Postgres, schema: str
) -> None:
    await asyncio.to_thread(migrate, postgres.url(), schema)
    info = connection_info(postgres.url(), schema)
    async with await psycopg.AsyncConnection.connect(info, autocommit=True) as connection:
        before = [ShippedDevice(f"OLD{n}", "sdm630", f"UP{n}", "g", f"gw:502/{n}") for n in (1, 2)]
        await register(connection, before, now_s=START_S)
        devices = await register(
            connection, [ShippedDevice("NEW1", "sdm630", "UP1", "g", "gw:502/1")], now_s=START_S + 60
        )
        assert {device.serial: device.address for device in devices} == {
            "OLD1": "", "OLD2": "gw:502/2", "NEW1": "gw:502/1"
        }  # fmt: skip
        await connection.execute("UPDATE end_device SET address = 'gw:502' WHERE serial = 'OLD2'")
        with pytest.raises(ShipmentError, match=r"OLD2 \('gw:502'\)"):
            await register(connection, before[:1], now_s=START_S + 120)


@pytest.mark.parametrize(
    ("content", "part"),
    [(None, "cannot read"), (b"\xff\xfe", "not UTF-8"), (b"a,b\n", "the header lacks serial"), (b"", "header")],
)
def test_a_shipment_that_is_none(tmp_path: Path, content: bytes | None, part: str) -> None:
    file = tmp_path / "shipment.csv"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ShipmentError, match=part):
        read_shipment(file)


@pytest.mark.parametrize("current", ["-1", "0", "nan", "inf", "1e9", "many"])
def test_a_current_that_no_meter_has_is_refused(tmp_path: Path, current: str) -> None:
    shipment = Shipment(tmp_path, count=1)
    header, line = shipment.path.read_text().splitlines()
    shipment.path.write_text(f"{header},max_current_a\n{line},{current}\n")
    with pytest.raises(ShipmentError, match=f"line 2: max_current_a '{current}' is not a current in A"):
        read_shipment(shipment.path)


def test_a_shipment_for_another_head_end(tmp_path: Path) -> None:
    shipment = Shipment(tmp_path)
    with pytest.raises(ShipmentError, match="does not belong to this head-end"):
        read_shipment(shipment.path, command_public_key="another")


@given(st.binary(min_size=32, max_size=32), st.integers(1, 2**53), st.booleans())
def test_a_signature_verifies_and_an_altered_command_does_not(seed: bytes, counter: int, padded: bool) -> None:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    signer = CommandSigner(key)
    envelope = signer.sign(
        command_id="c",
        serial="s",
        purpose="p",
        issued_s=1,
        not_before_s=0,
        expires_s=2,
        counter=counter,
        params={"from": 0},
    )
    assert opened(envelope, key.public_key()) == {
        "jti": "c",
        "sub": "s",
        "purpose": "p",
        "iat": 1,
        "nbf": 0,
        "exp": 2,
        "ctr": counter,
        "params": {"from": 0},
    }
    header, body, signature = envelope.split(b".")
    altered = base64.urlsafe_b64decode(body + b"==").replace(b'"exp":2', b'"exp":9')
    with pytest.raises(InvalidSignature):
        opened(b".".join([header, base64.urlsafe_b64encode(altered).rstrip(b"="), signature]), key.public_key())


@pytest.mark.parametrize("form", ["raw", "base64url", "base64url with padding and newline"])
def test_a_key_may_be_raw_or_text(tmp_path: Path, form: str) -> None:
    key = Ed25519PrivateKey.generate()
    text = base64.urlsafe_b64encode(key.private_bytes_raw())
    contents = {"raw": key.private_bytes_raw(), "base64url": text.rstrip(b"="), form: text + b"\n"}
    contents["raw"] = key.private_bytes_raw()
    (tmp_path / "key").write_bytes(contents[form])
    assert CommandSigner.from_file(tmp_path / "key").public_key() == CommandSigner(key).public_key()


@pytest.mark.parametrize("content", [None, b"", b"short", b"\xff" * 40])
def test_a_key_that_is_none(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    with pytest.raises(CommandKeyError, match="key"):
        CommandSigner.from_file(tmp_path / "key")


@pytest.mark.parametrize(
    ("name", "value"), [("database_schema", 'x"; DROP'), ("group", "a/b"), ("keep_alive_s", 0), ("log_level", "loud")]
)
def test_settings_that_cannot_be(tmp_path: Path, name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=name):
        Shipment(tmp_path).settings("postgresql://x", "s", 1883, **{name: value})


DEFAULTS = {
    "datestyle": "German, DMY",
    "intervalstyle": "iso_8601",
    "timezone": "Asia/Kolkata",
    "client_encoding": "LATIN1",
    "extra_float_digits": "-3",
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "serializable",
    "bytea_output": "escape",
}


async def test_a_databases_own_defaults_change_nothing(
    postgres: Postgres, mosquitto: Mosquitto, schema: str, shipment: Shipment
) -> None:
    name = f"odd_{schema}"
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        for setting, value in DEFAULTS.items():
            connection.execute(f"ALTER DATABASE {name} SET {setting} = '{value}'".encode())
    url = make_conninfo(postgres.url(), dbname=name)
    clock = ManualClock(START_S)
    for life in range(2):
        head_end = HeadEnd(shipment.settings(url, schema, mosquitto.port), clock)
        await head_end.start()
        meter = Publisher(mosquitto.port, f"meter-{life}")
        moment_s = START_S + 3 * LENGTH_S + 0.125
        clock.set(moment_s + life)
        meter.send(f"dt/test/{serial(0)}/ds", reading(0, START_S + (1 + life) * LENGTH_S))
        meter.send(f"dt/test/{serial(0)}/ev", event("tamper", START_S, life, said="Überspannung ✓"))
        meter.send("dt/test/nobody/ds", b"\\ \x00\xff")
        await head_end.settle()
        await head_end.stop()
        meter.close()
    info = connection_info(url, schema)
    with psycopg.connect(info) as connection:
        shown = {setting: str(connection.execute(f"SHOW {setting}".encode()).fetchone()[0]) for setting in DEFAULTS}  # type: ignore[index]  # SHOW has one row
        assert shown | {"bytea_output": ""} == {
            "datestyle": "ISO, MDY", "intervalstyle": "postgres", "timezone": "UTC", "client_encoding": "UTF8",
            "extra_float_digits": "1", "default_transaction_read_only": "off",
            "default_transaction_isolation": "read committed", "bytea_output": "",
        }  # fmt: skip
        rows = connection.execute(
            "SELECT extract(epoch FROM interval_start)::int8, received_at FROM interval_reading ORDER BY 1"
        ).fetchall()
        assert [row[0] for row in rows] == [START_S, START_S + LENGTH_S]
        assert rows[0][1] == datetime.fromtimestamp(START_S + 3 * LENGTH_S + 0.125, UTC)
        details = connection.execute("SELECT detail ->> 'said' FROM end_device_event").fetchall()
        assert details == [("Überspannung ✓",)] * 2
        letters = connection.execute("SELECT payload FROM dead_letter").fetchall()
        assert letters == [(b"\\ \x00\xff",)] * 2


@pytest.fixture
def standby() -> Iterator[Postgres]:
    directory = Path(tempfile.mkdtemp(prefix="headend-standby-"))
    directory.chmod(0o755)
    server = Postgres(directory)
    server.start()
    server.stop()
    (server.data / "standby.signal").touch()
    server.start()
    yield server
    server.stop()
    shutil.rmtree(directory)


async def test_a_standby_is_refused_with_advice(standby: Postgres, shipment: Shipment) -> None:
    said = await fault(HeadEnd(shipment.settings(standby.url(), "t", 1), ManualClock(START_S)), DatabaseRefused)
    assert "is it a standby?" in said
    assert "address of the primary" in said


def run_module(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "headend"],
        env={**os.environ, **{f"AMILAB_HEADEND_{name}": value for name, value in environment.items()}},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_command_says_what_is_missing() -> None:
    result = run_module(GROUP="g")
    assert result.returncode == 2
    assert "AMILAB_HEADEND_DATABASE_URL" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_command_says_that_there_is_no_database(tmp_path: Path) -> None:
    shipment = Shipment(tmp_path)
    result = run_module(
        GROUP="test",
        DATABASE_URL="postgresql://u:hush@127.0.0.1:9/x",
        SHIPMENT=str(shipment.path),
        COMMAND_KEY=str(shipment.key_path),
        STARTUP_TIMEOUT_S="0.3",
    )
    assert result.returncode == 2
    assert result.stderr.startswith("headend: no database answers")
    assert len(result.stderr.splitlines()) == 1
