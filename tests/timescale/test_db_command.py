"""`amilab db status` and `amilab db maintain` as a person calls them, and retention by policy or by hand."""

import os
import subprocess
import sys
import time

from psycopg.conninfo import conninfo_to_dict

from headend.store.features import look
from tests.timescale.schema import Schema, Value

DAY_S = 86_400
TODAY_S = int(time.time()) // DAY_S * DAY_S


def db(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lab.commands.main", "db", *arguments],
        env={**os.environ, "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def on(schema: Schema, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    schema.begin()
    return db(command, "--database-url", schema.server.url, "--schema", schema.name, *arguments)


def days_stored(schema: Schema) -> list[int]:
    """How many days old they are."""
    found = schema.rows("SELECT extract(epoch FROM interval_start)::int8 FROM interval_reading ORDER BY 1")
    return [(TODAY_S - start_s) // DAY_S for (start_s,) in found]


def write_days(schema: Schema, *days_ago: int) -> None:
    schema.write(*(Value(1, TODAY_S - days * DAY_S, 100) for days in days_ago))


def daily_buckets(schema: Schema) -> int:
    return len(schema.rows("SELECT FROM reading_daily"))


def test_status_has_a_line_for_each_feature(schema: Schema) -> None:
    answer = on(schema, "status")
    assert (answer.returncode, answer.stderr) == (0, "")
    head, size, *lines = answer.stdout.splitlines()
    assert head.startswith(f"schema {schema.name} of ")
    assert "PostgreSQL 1" in head
    assert "interval_reading takes" in size
    assert size.endswith("beside it: 0 implausible intervals of 0 meters, 0 dead letters for 0 messages")
    with schema.connect() as connection:
        found = look(connection)
    assert [line.split()[0] for line in lines] == ["✓" if feature.active else "–" for feature in found]
    for line, feature in zip(lines, found, strict=True):
        assert feature.name in line
        assert line.rstrip().endswith(feature.detail)


def test_old_readings_go_by_policy_where_there_is_one_and_by_the_command_elsewhere(schema: Schema) -> None:
    write_days(schema, 90, 80, 61, 59, 1)
    schema.refresh()
    schema.compress()
    schema.migrate(retention_days=60)
    answer = on(schema, "maintain", "--retention-days", "60")
    assert (answer.returncode, answer.stderr) == (0, "")
    if schema.compresses:
        assert "Nothing to do: a policy of the database drops readings after 60 days." in answer.stdout
        schema.run_policy("policy_retention")
        write_days(schema, 59)
        schema.refresh()
        assert daily_buckets(schema) == 5, "the aggregates outlive the readings"
    else:
        assert "readings of 3 days removed; 60 days stay" in answer.stdout
        assert daily_buckets(schema) == 2
        assert "readings of 0 days removed" in on(schema, "maintain", "--retention-days", "60").stdout
    assert days_stored(schema) == [59, 1]


def test_maintain_needs_to_know_how_long(schema: Schema) -> None:
    write_days(schema, 90)
    answer = on(schema, "maintain")
    assert answer.returncode == 2
    assert "nothing says how long" in answer.stderr
    assert "AMILAB_HEADEND_RETENTION_DAYS" in answer.stderr
    assert on(schema, "maintain", "--retention-days", "41").returncode == 2, "meters may still be asked for these"
    assert days_stored(schema) == [90]


def test_the_head_end_s_own_variables_do(schema: Schema) -> None:
    schema.begin()
    variables = {"DATABASE_URL": schema.server.url, "DATABASE_SCHEMA": schema.name, "RETENTION_DAYS": "50"}
    environment = {f"AMILAB_HEADEND_{name}": value for name, value in variables.items()}
    assert db("status", **environment).stdout.startswith(f"schema {schema.name} of ")
    assert "50 days stay" in db("maintain", **environment).stdout


RECORDS = {
    "other_reading": (
        "other-reading",
        "(meter_id, interval_start, interval_length_s, reading_type, value, received_at)"
        " VALUES (1, {at}, 900, '14.7.0', 50, {at})",
    ),
    "implausible_reading": (
        "implausible",
        "(id, meter_id, interval_start, interval_length_s, reason, channels, origin, received_at, committed_at)"
        " VALUES (gen_random_uuid(), 1, {at}, 900, 'off_grid', '{{}}', 0, {at}, {at})",
    ),
    "end_device_event": (
        "event",
        "(meter_id, sequence, code, device_time, detail, received_at, committed_at)"
        " VALUES (1, 1, 'reboot', {at}, '{{}}', {at}, {at})",
    ),
    "dead_letter": (
        "dead-letter",
        "(id, received_at, topic, payload, reason, detail, copies)"
        " VALUES (gen_random_uuid(), {at}, 't', '', 'not_json', '', 7)",
    ),
    "interval_gap": (
        "gap",
        "(meter_id, interval_start, interval_length_s, reason, command_id, noted_at)"
        " VALUES (1, {at}, 900, 'implausible', 'c', {at})",
    ),
    "device_communication": ("communication", "(meter_id, at, online) VALUES (1, {at}, true)"),
    "interruption": ("interruption", "(meter_id, down_at) VALUES (1, {at})"),
    "doubtful_interruption": (
        "doubtful",
        "(meter_id, down_at, reason, received_at) VALUES (1, {at}, 'too_many', {at})",
    ),
    "command": (
        "command",
        "(id, meter_id, purpose, params, requested_by, requested_at, not_before, expires_at, status, finished_at)"
        " VALUES (gen_random_uuid(), 1, 'ping', '{{}}', 'me', {at}, {at}, {at}, 'completed', {at})",
    ),
    "poll_failure": ("poll-failure", "(meter_id, boundary, outcome, noted_at) VALUES (1, {at}, 'no_answer', {at})"),
    "register_reading": (
        "register",
        "(meter_id, boundary, read_at, import_register_wh, export_register_wh, active_power_w, voltage_l1_v,"
        " voltage_l2_v, voltage_l3_v, committed_at) VALUES (1, {at}, {at}, 5, 0, 0, 230, 230, 230, {at})",
    ),
}


def test_old_rows_of_each_other_relation_go_as_it_is_told(schema: Schema) -> None:
    for relation, (_, values) in RECORDS.items():
        for days in (90, 61, 59):
            at = f"now() - interval '{days} days'"
            schema.run(f"INSERT INTO {relation} {values.format(at=at)}")
    beside = on(schema, "status").stdout.splitlines()[1]
    assert beside.endswith("3 implausible intervals of 1 meter, 3 dead letters for 21 messages")
    options = [part for option, _ in RECORDS.values() for part in (f"--{option}-retention-days", "60")]
    answer = on(schema, "maintain", *options)
    assert (answer.returncode, answer.stderr) == (0, "")
    for relation in RECORDS:
        assert f"2 rows of {relation} removed; 60 days stay" in answer.stdout
        assert schema.rows(f"SELECT count(*) FROM {relation}") == [(1,)], relation
    assert on(schema, "maintain", "--gap-retention-days", "41").returncode == 2, "meters may still be asked for these"


def test_a_command_goes_with_its_steps_and_readings_and_one_that_is_open_stays(schema: Schema) -> None:
    for number, ended in ((1, True), (2, False)):
        command = f"00000000-0000-4000-8000-00000000000{number}"
        schema.run(
            "INSERT INTO command (id, meter_id, purpose, params, requested_by, requested_at, not_before, expires_at,"
            " status, finished_at) SELECT %s, 1, 'register.read', '{}', 'me', t, t, t, %s, CASE WHEN %s THEN t END"
            " FROM (SELECT now() - interval '90 days' AS t) AS t",
            *(command, "completed" if ended else "sent", ended),
        )
        schema.run("INSERT INTO command_step (command_id, attempt, state, at) VALUES (%s, 1, 'sent', now())", command)
        schema.run(
            "INSERT INTO on_demand_reading (command_id, meter_id, read_at, received_at, committed_at)"
            " VALUES (%s, 1, now(), now(), now())",
            command,
        )
    assert "1 row of command removed" in on(schema, "maintain", "--command-retention-days", "60").stdout
    for relation in ("command_step", "on_demand_reading"):
        assert schema.rows(f"SELECT right(command_id::text, 1) FROM {relation}") == [("2",)], relation


def test_the_last_change_of_communication_stays_however_old(schema: Schema) -> None:
    for days, online in ((90, True), (80, False)):
        schema.run(
            f"INSERT INTO device_communication (meter_id, at, online) VALUES (1, now() - interval '{days} days', %s)",
            online,
        )
    on(schema, "maintain", "--communication-retention-days", "60")
    assert schema.rows("SELECT online FROM device_communication") == [(False,)]


def refusal(answer: subprocess.CompletedProcess[str]) -> str:
    assert answer.returncode == 2, answer.stdout + answer.stderr
    assert answer.stdout == ""
    assert "Traceback" not in answer.stderr
    return answer.stderr


def test_a_schema_that_is_not_there(schema: Schema) -> None:
    schema.begin()
    for command in ("status", "maintain"):
        said = refusal(db(command, "--database-url", schema.server.url, "--schema", "nobody"))
        fault, hint = said.splitlines()
        assert "there is no head-end's schema nobody" in fault
        assert schema.name in fault.split("; there are: ")[1].split(", ")
        assert hint == "Name the schema with --schema."


def test_no_database_named() -> None:
    unset = {"AMILAB_HEADEND_DATABASE_URL": "", "AMILAB_DATABASE_URL": ""}
    for command in ("status", "maintain"):
        said = refusal(db(command, **unset))
        assert "nothing says which database" in said
        assert "--database-url, or set AMILAB_HEADEND_DATABASE_URL or AMILAB_DATABASE_URL." in said


def test_a_schema_of_another_release(schema: Schema) -> None:
    schema.run("INSERT INTO _yoyo_migration (migration_hash, migration_id) VALUES ('hash', '9999.of-tomorrow')")
    for command in ("status", "maintain"):
        said = refusal(on(schema, command))
        assert "was migrated by a newer release (unknown here: 9999.of-tomorrow)" in said
        assert "install that release" in said
    schema.run("DELETE FROM _yoyo_migration WHERE migration_id > '0006'")
    said = refusal(on(schema, "status"))
    assert "is of an older release (it lacks 0006.aggregates" in said
    assert "start this release's head-end once" in said


def test_a_database_that_cannot_be_reached() -> None:
    said = refusal(db("status", "--database-url", "postgresql://me:hush@127.0.0.1:9/x"))
    assert "no database answers (x at 127.0.0.1:9)" in said
    assert said.count("?") == 1, "libpq asks whether it is running, too"
    assert said.rstrip().endswith("Connection refused; is it running, is the address right?")
    assert "hush" not in said


def test_addresses_and_names_that_are_none() -> None:
    said = refusal(db("status", "--database-url", "me:hush@127.0.0.1/x"))
    assert "--database-url must begin with postgresql://" in said
    assert "hush" not in said
    said = refusal(db("status", "--database-url", "postgresql://127.0.0.1/x", "--schema", 'x"; DROP'))
    assert "Small letters" in said


def test_a_role_that_may_not_look(schema: Schema) -> None:
    if schema.server.edition == "community":
        return  # its one session has one role
    schema.run(f"CREATE ROLE guest_{schema.name} LOGIN PASSWORD 'guest'")
    port = conninfo_to_dict(schema.server.url)["port"]
    guest = f"postgresql://guest_{schema.name}:guest@127.0.0.1:{port}/postgres"
    said = refusal(db("status", "--database-url", guest, "--schema", schema.name))
    assert "the database refuses us" in said
    assert "permission denied" in said
    schema.run(f"DROP ROLE guest_{schema.name}")
