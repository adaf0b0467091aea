from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from urllib.parse import quote

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql

from lab.errors import UserError
from lab.services.broker import BrokerProgram, EmbeddedBroker
from lab.services.broker_config import head_end_user
from lab.services.external import ExternalBroker, await_broker, check_broker_url, check_database_url
from lab.services.ports import ReservedPort
from lab.services.postgres import EmbeddedPostgres
from tests.lab.services.conftest import Surroundings

AWKWARD = "p@ss:w/o#r?d% \\'\"é[]"
SECRET = "s3cr3t"


async def refusal(check: Callable[[str], Awaitable[object]], url: str) -> str:
    with pytest.raises(UserError) as error:
        await check(url)
    assert error.value.hint, "a refusal says what to do"
    assert SECRET not in str(error.value)
    return str(error.value)


async def test_a_database_with_an_awkward_password(surroundings: Surroundings) -> None:
    postgres = EmbeddedPostgres(surroundings.directory, surroundings.supervisor)
    await postgres.start()
    with psycopg.connect(postgres.admin_url) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier("ann o"), AWKWARD))
        connection.execute("CREATE ROLE bob LOGIN PASSWORD 'x'")
        connection.execute('GRANT CREATE ON DATABASE amilab TO "ann o"')
    at = f"127.0.0.1:{postgres.port}"
    good = f"postgresql://ann%20o:{quote(AWKWARD, safe='')}@{at}/amilab"
    database = await check_database_url(good)
    assert database.version == postgres.version
    assert AWKWARD not in repr(database)
    assert quote(AWKWARD, safe="") not in repr(database)

    wrong = await refusal(check_database_url, f"postgresql://ann%20o:{SECRET}@{at}/amilab")
    assert f"{at} does not accept the password of the user 'ann o'" in wrong
    missing = await refusal(check_database_url, f"{good.rpartition('/')[0]}/elsewhere")
    assert f"{at} has no database 'elsewhere'" in missing
    assert "may not create" in await refusal(check_database_url, f"postgresql://bob:x@{at}/amilab")
    assert "does not know" in await refusal(check_database_url, f"{good}?colour={SECRET}")


async def test_a_broker_with_an_awkward_password(surroundings: Surroundings, program: BrokerProgram) -> None:
    user = head_end_user("g1", "hes", AWKWARD)
    broker = EmbeddedBroker(surroundings.directory, surroundings.supervisor, [user], program)
    await broker.start()
    at = f"127.0.0.1:{broker.port}"
    found = await check_broker_url(f"mqtt://hes:{quote(AWKWARD, safe='')}@{at}")
    assert (found.host, found.port, found.username, found.password) == ("127.0.0.1", broker.port, "hes", AWKWARD)
    assert AWKWARD not in repr(found)
    assert f"{at} " in await refusal(check_broker_url, f"mqtt://hes:{SECRET}@{at}")
    assert "'hes'" in await refusal(check_broker_url, f"mqtt://hes:{SECRET}@{at}")
    assert "without a user name" in await refusal(check_broker_url, f"mqtt://{at}")


async def test_nobody_listens() -> None:
    with ReservedPort() as free:
        at = f"127.0.0.1:{free.port}"
        assert f"nothing listens at {at}" in await refusal(check_database_url, f"postgresql://u:{SECRET}@{at}/db")
        assert f"the broker at {at}: Connection refused" in await refusal(check_broker_url, f"mqtt://u:{SECRET}@{at}")


async def test_an_unknown_host() -> None:
    for check, scheme in ((check_database_url, "postgresql"), (check_broker_url, "mqtt")):
        assert "host 'no.such.invalid' is not known" in await refusal(check, f"{scheme}://u:{SECRET}@no.such.invalid/")


async def test_somebody_else_listens() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert "does not speak MQTT" in await refusal(check_broker_url, f"mqtt://u:{SECRET}@127.0.0.1:{port}")
    said = await refusal(check_database_url, f"postgresql://u:{SECRET}@127.0.0.1:{port}/db")
    assert "does not speak PostgreSQL's protocol" in said
    server.close()


async def test_a_broker_that_comes_back_is_waited_for(surroundings: Surroundings, program: BrokerProgram) -> None:
    broker = EmbeddedBroker(surroundings.directory, surroundings.supervisor, [head_end_user("g1", "hes", "x")], program)
    await broker.start()
    external = await check_broker_url(f"mqtt://hes:x@127.0.0.1:{broker.port}")
    told: list[str] = []
    await await_broker(external, patience_s=30, away=lambda: told.append("away"))
    assert told == []
    await broker.kill()
    back = asyncio.Event()
    waiting = asyncio.create_task(await_broker(external, patience_s=30, away=back.set))
    await back.wait()
    await broker.restart()
    await waiting


async def test_a_broker_that_stays_away_is_not_waited_for_for_ever() -> None:
    with ReservedPort() as free:
        gone = ExternalBroker("127.0.0.1", free.port, "u", SECRET)
        with pytest.raises(UserError) as error:
            await await_broker(gone, patience_s=0.6, away=lambda: None)
        assert error.value.faults[0] == "the broker has not come back within 1 s"
        assert f"the broker at 127.0.0.1:{free.port}: Connection refused" in str(error.value)
        assert SECRET not in str(error.value)


async def test_somebody_listens_and_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.services.external._TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        assert "does not answer MQTT" in await refusal(check_broker_url, f"mqtt://u:{SECRET}@127.0.0.1:{port}")


@pytest.mark.parametrize(
    "rest",
    [
        f"u:@{SECRET}@h/db", f"u:/{SECRET}@h/db", f"u:#{SECRET}@h/db", f"u:?{SECRET}@h/db", f"u:%{SECRET}@h/db",
        f"u:[{SECRET}@h/db", f"u: {SECRET}@h/db", f"u:1/{SECRET}@h/db", f"u:{SECRET}@h:123456/db",
        f"u:{SECRET}@[::1/db", f"u:{SECRET}@h\n/db", f"u:{SECRET}",
    ],
)  # fmt: skip
async def test_malformed_addresses_do_not_betray_the_password(rest: str) -> None:
    for check, scheme in ((check_database_url, "postgresql"), (check_broker_url, "mqtt")):
        assert f"{scheme}://user:password@host" in await refusal(check, f"{scheme}://{rest}")


@pytest.mark.parametrize("url", ["", "localhost", f"mysql://u:{SECRET}@h/db", f"mqtts://u:{SECRET}@h", f"u:{SECRET}@h"])
async def test_other_schemes(url: str) -> None:
    assert "must begin with postgresql://" in await refusal(check_database_url, url)
    assert "must begin with mqtt://" in await refusal(check_broker_url, url)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_text_is_an_address_or_a_user_error(text: str) -> None:
    # Port 1 refuses at once, wherever the text is taken to lead on this machine.
    for check, scheme in ((check_database_url, "postgresql"), (check_broker_url, "mqtt")):
        with pytest.raises(UserError):
            asyncio.run(check(f"{scheme}://u:{text}@127.0.0.1:1/{'' if scheme == 'mqtt' else 'db'}"))
