-- What each vendor's meters did in the range, against what their profile promises.
WITH reading AS (
    SELECT d.vendor_profile, r.interval_start, r.interval_length_s, r.received_at, r.committed_at, r.quality,
        r.revision, r.origin
    FROM network_reading r
    JOIN end_device d ON d.id = r.meter_id
    WHERE $__timeFilter(r.interval_start)
), due AS (
    SELECT * FROM due_reading($__timeFrom(), $__timeTo(), (SELECT max(received_at) FROM reading))
), owed AS (
    SELECT
        due.vendor_profile,
        sum(due.meters) - coalesce(max(known.gaps), 0) AS expected
    FROM due
    LEFT JOIN (
        SELECT d.vendor_profile, count(*) AS gaps
        FROM interval_gap g
        JOIN end_device d ON d.id = g.meter_id
        WHERE $__timeFilter(g.interval_start)
        GROUP BY 1
    ) known USING (vendor_profile)
    GROUP BY 1
), came AS (
    SELECT
        vendor_profile,
        count(*) FILTER (WHERE revision = 0 AND quality <> 1) AS received,
        count(*) FILTER (WHERE revision = 0 AND quality <> 1 AND committed_at <= due.deadline) AS on_time,
        count(*) FILTER (WHERE revision = 0 AND quality = 1) AS estimated,
        count(*) FILTER (WHERE revision = 0 AND origin = 1) AS recovered,
        count(*) FILTER (WHERE revision > 0) AS revised
    FROM reading
    JOIN due USING (vendor_profile, interval_start, interval_length_s)
    GROUP BY 1
), letter AS (
    SELECT d.vendor_profile, count(*) AS dead_letters
    FROM dead_letter l
    JOIN end_device d ON d.serial IN (split_part(l.topic, '/', 3), split_part(l.topic, '/', 5))
    WHERE $__timeFilter(l.received_at)
    GROUP BY 1
)
SELECT
    v.vendor_profile AS vendor,
    v.meters,
    owed.expected,
    came.on_time / nullif(owed.expected, 0)::float8 * 100 AS on_time_percent,
    came.received / nullif(owed.expected, 0)::float8 * 100 AS received_percent,
    came.estimated / nullif(owed.expected, 0)::float8 * 100 AS estimated_percent,
    came.recovered,
    came.revised,
    coalesce(letter.dead_letters, 0) AS dead_letters
FROM (SELECT vendor_profile, count(*) AS meters FROM end_device GROUP BY 1) v
LEFT JOIN owed USING (vendor_profile)
LEFT JOIN came USING (vendor_profile)
LEFT JOIN letter USING (vendor_profile)
ORDER BY 1
