"""What explains a verdict is taken from the head-end's database before that goes away."""

from pathlib import Path

import psycopg
import pyarrow.parquet as pq
from psycopg import sql

from headend.store.migrate import migrate
from lab.headends.export import export_evidence

SCHEMA = "amilab_export"


def test_dead_letters_and_events_lie_beside_the_report(postgres_url: str, tmp_path: Path) -> None:
    migrate(postgres_url, SCHEMA)
    with psycopg.connect(postgres_url) as connection:
        connection.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(SCHEMA)))
        connection.execute(
            "INSERT INTO end_device (serial, vendor_profile, usage_point, device_group, registered_at)"
            " VALUES ('AMI1', 'rl-dsp', 'UP1', 'g', now())"
        )
        connection.execute(
            "INSERT INTO end_device_event (meter_id, sequence, code, device_time, detail, received_at, committed_at)"
            " SELECT id, 3, 'last_gasp', '2026-01-15T01:00:00Z', '{}', '2026-01-15T01:00:01Z', '2026-01-15T01:00:02Z'"
            " FROM end_device"
        )
        connection.execute(
            "INSERT INTO dead_letter (id, received_at, topic, payload, reason, detail)"
            " VALUES (gen_random_uuid(), '2026-01-15T01:00:00Z', 'dt/g/AMI1/ds', %s, 'malformed', 'no JSON')",
            (b"\x00" + b"x" * 99,),
        )
        export_evidence(connection, SCHEMA, tmp_path)
    (event,) = pq.read_table(tmp_path / "events.parquet").to_pylist()
    assert (event["serial"], event["sequence"], event["code"]) == ("AMI1", 3, "last_gasp")
    assert event["detail"] == "{}"
    (letter,) = pq.read_table(tmp_path / "dead_letters.parquet").to_pylist()
    assert (letter["topic"], letter["reason"], letter["payload_bytes"]) == ("dt/g/AMI1/ds", "malformed", 100)
    assert letter["payload_head"] == b"\x00" + b"x" * 63


def test_what_became_of_polls_lies_beside_the_report(postgres_url: str, tmp_path: Path) -> None:
    schema = "amilab_export_polls"
    migrate(postgres_url, schema)
    with psycopg.connect(postgres_url) as connection:
        connection.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(schema)))
        connection.execute(
            "INSERT INTO end_device (serial, vendor_profile, usage_point, device_group, registered_at)"
            " VALUES ('AMI1', 'sdm630', 'UP1', 'g', now())"
        )
        connection.execute(
            "INSERT INTO poll_failure (meter_id, boundary, outcome, exception_code, noted_at)"
            " SELECT id, b, 'illegal_data_address', 2, b + interval '35 s' FROM end_device,"
            " unnest('{2026-01-15T01:00:00Z,2026-01-15T01:15:00Z}'::timestamptz[]) AS b"
        )
        export_evidence(connection, schema, tmp_path)
    (row,) = pq.read_table(tmp_path / "polls.parquet").to_pylist()
    assert [row[name] for name in ("serial", "outcome", "exception_code", "polls")] == [
        "AMI1", "illegal_data_address", 2, 2
    ]  # fmt: skip
