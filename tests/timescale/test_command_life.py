"""A database of before migration 0020: what became of its commands is told in the new words, and nothing is lost."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from tests.timescale.schema import Schema, create_before
from tests.timescale.servers import Server

_schemas = itertools.count(1)
ASKED = datetime(2026, 1, 15, 3, tzinfo=UTC)
IDS = {
    status: f"00000000-0000-4000-8000-00000000000{n}"
    for n, status in enumerate(("issued", "answered", "expired", "refused"))
}
OLD = """
INSERT INTO end_device (serial, vendor_profile, usage_point, device_group, registered_at)
SELECT 'M' || n, 'rl-dsp', 'U' || n, 'g', to_timestamp(0) FROM generate_series(1, 4) n;
INSERT INTO command (id, meter_id, purpose, params, counter, issued_at, expires_at, status, finished_at, reason) VALUES
    ('{issued}', 1, 'load_profile.read', '{{"from": 0, "to": 900}}', 7, '{asked}', '{expires}', 'issued', NULL, NULL),
    ('{answered}', 2, 'load_profile.read', '{{}}', 8, '{asked}', '{expires}', 'answered', '{done}', NULL),
    ('{expired}', 3, 'load_profile.read', '{{}}', 9, '{asked}', '{expires}', 'expired', '{expires}', NULL),
    ('{refused}', 4, 'load_profile.read', '{{}}', 10, '{asked}', '{expires}', 'refused', '{done}', 'expired');
"""


@pytest.fixture
def old(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Schema]:
    """A schema as the release before had it, with a command of each status."""
    schema = Schema(server, f"old{next(_schemas)}")
    with schema.connect() as connection:
        create_before(connection, schema.name, "0020", monkeypatch)
        statements = OLD.format(
            **IDS, asked=ASKED, expires=ASKED + timedelta(minutes=10), done=ASKED + timedelta(seconds=2)
        )
        for statement in statements.split(";\n"):
            if statement.strip():
                connection.execute(statement.encode())
    yield schema
    schema.drop()


def test_old_commands_have_new_lives(old: Schema) -> None:
    old.migrate()
    old.migrate()
    by_id = {identity: status for status, identity in IDS.items()}
    assert {
        by_id[str(identity)]: rest
        for identity, *rest in old.rows(
            "SELECT id, status, finished_at, reason, attempts, counter, requested_by, not_before FROM command"
        )
    } == {
        before: [status, finished, reason, 1, counter, "recovery", ASKED - timedelta(minutes=5)]
        for before, status, finished, reason, counter in (
            ("issued", "sent", None, None, 7),
            ("answered", "completed", ASKED + timedelta(seconds=2), None, 8),
            ("expired", "expired", ASKED + timedelta(minutes=10), None, 9),
            ("refused", "refused", ASKED + timedelta(seconds=2), "expired", 10),
        )
    }
    lives: dict[str, list[str]] = {}
    for identity, state in old.rows("SELECT command_id, state FROM command_step ORDER BY at, attempt, state = 'sent'"):
        lives.setdefault(by_id[str(identity)], []).append(state)
    begun = ["approved", "requested", "queued", "sent"]
    assert {before: sorted(life[:4]) for before, life in lives.items()} == dict.fromkeys(IDS, sorted(begun))
    assert {before: life[4:] for before, life in lives.items()} == {
        "issued": [], "answered": ["completed"], "expired": ["expired"], "refused": ["refused"]
    }  # fmt: skip
    assert old.rows("SELECT sum(answered), sum(expired), sum(refused), sum(open) FROM request_outcome") == [
        (1, 1, 1, 1)
    ]


def test_a_command_that_has_ended_says_when(old: Schema) -> None:
    old.migrate()
    with pytest.raises(psycopg.errors.CheckViolation):
        old.run("UPDATE command SET status = 'completed'")
    old.run("UPDATE command SET status = 'failed', finished_at = now() WHERE finished_at IS NULL")
    with pytest.raises(psycopg.errors.CheckViolation):
        old.run("UPDATE command SET status = 'done', finished_at = now()")
