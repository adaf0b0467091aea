-- Sums over readings that stay right whatever comes late or is revised.

-- Of a revision: by how much the value differs from the one that was current before. So a sum over all rows of
-- coalesce(import_correction_wh, import_wh) counts each interval once, with its latest value, and is a plain sum, as
-- continuous aggregates need. Null in first rows, where it takes no space.
ALTER TABLE interval_reading ADD COLUMN import_correction_wh bigint;
ALTER TABLE interval_reading ADD COLUMN export_correction_wh bigint;

UPDATE interval_reading r SET
    import_correction_wh = r.import_wh - before.import_wh,
    export_correction_wh = r.export_wh - before.export_wh
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

-- The intervals of a UTC day that are neither stored nor known not to exist, by the length that each meter has on that
-- day; a meter that has none at all is expected to have those of length_s. Only meters that are short of some are looked
-- at one by one.
CREATE FUNCTION missing_reading(day date, length_s integer DEFAULT 900)
RETURNS TABLE (meter_id integer, serial text, interval_start timestamptz, interval_length_s integer)
LANGUAGE sql STABLE AS $$
    WITH bounds AS (
        SELECT day::timestamp AT TIME ZONE 'UTC' AS begins, (day + 1)::timestamp AT TIME ZONE 'UTC' AS ends
    ), counted AS (
        SELECT r.meter_id, r.interval_length_s, count(*) AS present
        FROM interval_reading r, bounds b
        WHERE r.interval_start >= b.begins AND r.interval_start < b.ends AND r.revision = 0
        GROUP BY 1, 2
    ), short AS (
        SELECT d.id, d.serial, coalesce(c.interval_length_s, length_s) AS interval_length_s,
            greatest(b.begins, d.registered_at) AS begins, b.ends
        FROM bounds b
        CROSS JOIN end_device d
        LEFT JOIN counted c ON c.meter_id = d.id
        WHERE d.registered_at < b.ends
          AND coalesce(c.present, 0) < 86400 / coalesce(c.interval_length_s, length_s)
    )
    SELECT s.id, s.serial, g.at, s.interval_length_s
    FROM short s
    CROSS JOIN LATERAL generate_series(
        to_timestamp(ceil(extract(epoch FROM s.begins) / s.interval_length_s) * s.interval_length_s),
        s.ends - interval '1 second',
        make_interval(secs => s.interval_length_s)
    ) AS g (at)
    WHERE NOT EXISTS (
        SELECT FROM interval_reading r
        WHERE r.meter_id = s.id AND r.interval_start = g.at AND r.interval_length_s = s.interval_length_s
    ) AND NOT EXISTS (
        SELECT FROM interval_gap x
        WHERE x.meter_id = s.id AND x.interval_start = g.at AND x.interval_length_s = s.interval_length_s
    )
$$;
