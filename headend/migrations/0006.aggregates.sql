-- Sums over readings that stay right whatever comes late or is revised; and why a feature of the database is not used.

ALTER TABLE headend_feature ADD COLUMN reason text;

-- Of a revision: by how much the value differs from the one that was current before, so that a sum over all rows of
-- coalesce(import_correction_wh, import_wh) counts each interval once, with its latest value. Continuous aggregates take
-- plain sums only, and a row that is never changed can be added beside a compressed one. Null in first rows, where it
-- takes no space.
ALTER TABLE interval_reading ADD COLUMN import_correction_wh bigint;
ALTER TABLE interval_reading ADD COLUMN export_correction_wh bigint;

UPDATE interval_reading r SET
    import_correction_wh = r.import_wh - before.import_wh,
    export_correction_wh = coalesce(r.export_wh, 0) - coalesce(before.export_wh, 0)
FROM interval_reading before
WHERE r.revision > 0
  AND before.meter_id = r.meter_id
  AND before.interval_start = r.interval_start
  AND before.interval_length_s = r.interval_length_s
  AND before.revision = r.revision - 1;

-- Each meter's newest interval: one look into the key's index for each meter.
CREATE VIEW last_reading AS
SELECT d.id AS meter_id, d.serial, d.usage_point, r.interval_start, r.interval_length_s, r.import_wh,
    r.import_register_wh, r.received_at, r.revision
FROM end_device d
CROSS JOIN LATERAL (
    SELECT interval_start, interval_length_s, import_wh, import_register_wh, received_at, revision
    FROM interval_reading
    WHERE meter_id = d.id
    ORDER BY interval_start DESC, interval_length_s DESC, revision DESC
    LIMIT 1
) r;

-- The intervals of a UTC day that is over which are neither stored nor known not to exist, by the shortest length that
-- each meter has on that day; a meter that has none at all is expected to have those of length_s. Only meters that are
-- short of some are looked at one by one. The day's rows are counted without looking at their revision, which lies behind
-- all values of a row; revisions are then taken off by their own small index. Bounds are written out wherever they are
-- used: so they are constants to the planner, which opens the chunks of that day alone.
CREATE FUNCTION missing_reading(day date, length_s integer DEFAULT 900)
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
