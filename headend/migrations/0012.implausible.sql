-- What cannot be believed of an interval (headend/reads/plausibility.py): kept, in no sum, never a meter's current value.

-- channels: all that the meter said, by name of the column of interval_reading, or by reading type. origin: as there.
-- id: of what the meter said, so that a value which is said twice is there once.
CREATE TABLE implausible_reading (
    id uuid PRIMARY KEY,
    meter_id integer NOT NULL,
    interval_start timestamptz NOT NULL,
    interval_length_s integer NOT NULL,
    reason text NOT NULL,
    channels jsonb NOT NULL,
    origin smallint NOT NULL,
    received_at timestamptz NOT NULL,
    committed_at timestamptz NOT NULL,
    ingested_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX implausible_reading_meter ON implausible_reading (meter_id, interval_start);

-- The meter answered, and what it has cannot be believed: asking again is of no use. Such an interval is still missing.
ALTER TABLE interval_gap DROP CONSTRAINT interval_gap_reason_check;
ALTER TABLE interval_gap ADD CONSTRAINT interval_gap_reason_check
    CHECK (reason IN ('no_record', 'beyond_memory', 'implausible'));

-- The primary current of the current transformers that a meter measures through; null: it is connected directly.
ALTER TABLE end_device ADD COLUMN max_current_a double precision;

-- As in migration 0006, but for intervals whose gap is that their value is implausible.
CREATE OR REPLACE FUNCTION missing_reading(day date, length_s integer DEFAULT 900)
RETURNS TABLE (meter_id integer, serial text, interval_start timestamptz, interval_length_s integer)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    WITH counted AS (
        SELECT c.meter_id, min(c.length_s) AS length_s, sum(c.covered_s) AS covered_s
        FROM (
            SELECT r.meter_id, r.interval_length_s AS length_s, r.interval_length_s AS covered_s
            FROM interval_reading r
            WHERE r.interval_start >= day::timestamp AT TIME ZONE 'UTC'
              AND r.interval_start < (day + 1)::timestamp AT TIME ZONE 'UTC'
            UNION ALL
            SELECT r.meter_id, r.interval_length_s, -r.interval_length_s
            FROM interval_reading r
            WHERE r.interval_start >= day::timestamp AT TIME ZONE 'UTC'
              AND r.interval_start < (day + 1)::timestamp AT TIME ZONE 'UTC'
              AND r.revision > 0
        ) c
        GROUP BY c.meter_id
    ), expected AS (
        SELECT d.id, d.serial, c.covered_s, coalesce(c.length_s, missing_reading.length_s) AS length_s,
            extract(epoch FROM greatest(day::timestamp AT TIME ZONE 'UTC', d.registered_at)) AS from_s,
            extract(epoch FROM (day + 1)::timestamp AT TIME ZONE 'UTC') AS to_s
        FROM end_device d
        LEFT JOIN counted c ON c.meter_id = d.id
    ), short AS (
        SELECT id, serial, length_s, to_timestamp(ceil(from_s / length_s) * length_s) AS begins
        FROM expected
        WHERE coalesce(covered_s, 0) < to_s - ceil(from_s / length_s) * length_s
    )
    SELECT s.id, s.serial, g.at, s.length_s
    FROM short s
    CROSS JOIN LATERAL (
        SELECT r.begins AS until,
            coalesce(max(r.ends) OVER (ORDER BY r.begins ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), s.begins)
                AS since
        FROM (
            SELECT k.interval_start AS begins, k.interval_start + make_interval(secs => k.interval_length_s) AS ends
            FROM interval_reading k
            WHERE k.meter_id = s.id
              AND k.interval_start >= day::timestamp AT TIME ZONE 'UTC'
              AND k.interval_start < (day + 1)::timestamp AT TIME ZONE 'UTC'
            UNION ALL
            SELECT x.interval_start, x.interval_start + make_interval(secs => x.interval_length_s)
            FROM interval_gap x
            WHERE x.meter_id = s.id
              AND x.reason <> 'implausible'
              AND x.interval_start >= day::timestamp AT TIME ZONE 'UTC'
              AND x.interval_start < (day + 1)::timestamp AT TIME ZONE 'UTC'
            UNION ALL
            SELECT (day + 1)::timestamp AT TIME ZONE 'UTC', NULL
        ) r
    ) hole
    CROSS JOIN LATERAL generate_series(
        hole.since, hole.until - interval '1 second', make_interval(secs => s.length_s)
    ) g (at)
    WHERE hole.since < hole.until
$$;
