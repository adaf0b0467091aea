-- Polls that are kept and not believed: a register that dropped or jumped, and may come back (headend/reads/follow.py).

-- Null for what is believed; register_backwards or register_jump for what is in no interval. Polls of a meter that was
-- replaced are believed after all once enough of them agree.
ALTER TABLE register_reading ADD COLUMN implausible text;
CREATE INDEX register_reading_believed ON register_reading (meter_id, boundary) WHERE implausible IS NULL;

CREATE OR REPLACE VIEW poll_outcome AS
SELECT meter_id, boundary, coalesce(implausible, 'answered') AS outcome, NULL::smallint AS exception_code,
    read_at AS noted_at
FROM register_reading
UNION ALL
SELECT meter_id, boundary, outcome, exception_code, noted_at
FROM poll_failure;
