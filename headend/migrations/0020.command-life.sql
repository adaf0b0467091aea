-- The life of a command (docs/commands.md): requested, approved, queued, sent, acknowledged, executing, completed; or
-- refused, failed, expired, cancelled. What was `issued` is `sent`, and what was `answered` is `completed`.

ALTER TABLE command DROP CONSTRAINT command_status_check;
DROP INDEX command_open;
ALTER TABLE command RENAME COLUMN issued_at TO requested_at;
-- attempts: how often it was queued, each time with a counter of its own; counter: the last one, null before the first.
-- not_before: the device must not act earlier; one that may act at once has five minutes' leeway for its clock.
-- round_trip_s: from the last sending to the answer, by the wall clock of the process that did both.
ALTER TABLE command ALTER COLUMN counter DROP NOT NULL;
ALTER TABLE command ADD COLUMN attempts smallint NOT NULL DEFAULT 1;
ALTER TABLE command ALTER COLUMN attempts SET DEFAULT 0;
ALTER TABLE command ADD COLUMN not_before timestamptz;
UPDATE command SET not_before = requested_at - interval '5 minutes';
ALTER TABLE command ALTER COLUMN not_before SET NOT NULL;
ALTER TABLE command ADD COLUMN requested_by text NOT NULL DEFAULT 'recovery';
ALTER TABLE command ALTER COLUMN requested_by DROP DEFAULT;
ALTER TABLE command ADD COLUMN round_trip_s double precision;

-- Each step of a command's life, with its instant by the head-end's clock. attempt: which one it belongs to, from 1; 0
-- before the first. actor: who did it, where somebody did.
CREATE TABLE command_step (
    command_id uuid NOT NULL REFERENCES command (id) ON DELETE CASCADE,
    attempt smallint NOT NULL,
    state text NOT NULL CHECK (state IN ('requested', 'approved', 'queued', 'sent', 'acknowledged', 'executing',
        'completed', 'refused', 'failed', 'expired', 'cancelled')),
    at timestamptz NOT NULL,
    reason text,
    actor text,
    ingested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (command_id, attempt, state)
);

INSERT INTO command_step (command_id, attempt, state, at, reason, actor)
SELECT c.id, s.attempt, s.state, s.at, s.reason, s.actor
FROM command c
CROSS JOIN LATERAL (
    VALUES
        (0, 'requested', c.requested_at, NULL, 'recovery'),
        (0, 'approved', c.requested_at, NULL, 'recovery'),
        (1, 'queued', c.requested_at, NULL, NULL),
        (1, 'sent', c.requested_at, NULL, NULL)
) AS s (attempt, state, at, reason, actor);
INSERT INTO command_step (command_id, attempt, state, at, reason)
SELECT id, 1, CASE status WHEN 'answered' THEN 'completed' ELSE status END,
    coalesce(finished_at, expires_at), reason
FROM command WHERE status <> 'issued';

UPDATE command SET
    finished_at = CASE WHEN status = 'issued' THEN NULL ELSE coalesce(finished_at, expires_at) END,
    status = CASE status WHEN 'issued' THEN 'sent' WHEN 'answered' THEN 'completed' ELSE status END
WHERE status IN ('issued', 'answered') OR finished_at IS NULL;

ALTER TABLE command ADD CONSTRAINT command_status_check CHECK (
    status IN ('requested', 'approved', 'queued', 'sent', 'acknowledged', 'executing')
        AND finished_at IS NULL
    OR status IN ('completed', 'refused', 'failed', 'expired', 'cancelled')
        AND finished_at IS NOT NULL
);
CREATE INDEX command_open ON command (expires_at) WHERE finished_at IS NULL;
CREATE INDEX command_finished_at ON command (finished_at);

-- Load profiles that meters were asked for, by what became of it.
CREATE OR REPLACE VIEW request_outcome AS
SELECT
    c.id,
    d.vendor_profile,
    c.requested_at AS issued_at,
    (c.status = 'completed')::integer AS answered,
    (c.status IN ('expired', 'cancelled'))::integer AS expired,
    (c.status IN ('refused', 'failed'))::integer AS refused,
    (c.finished_at IS NULL)::integer AS open
FROM command c
JOIN end_device d ON d.id = c.meter_id
WHERE c.purpose = 'load_profile.read';
