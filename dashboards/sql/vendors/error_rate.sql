-- Due intervals that did not come by their deadline.
WITH reading AS (
    SELECT d.vendor_profile, r.interval_start, r.interval_length_s, r.received_at, r.committed_at, r.quality
    FROM network_reading r
    JOIN end_device d ON d.id = r.meter_id
    WHERE $__timeFilter(r.interval_start) AND r.revision = 0
), due AS (
    SELECT * FROM due_reading($__timeFrom(), $__timeTo(), (SELECT max(received_at) FROM reading))
), came AS (
    SELECT vendor_profile, interval_start, interval_length_s, count(*) AS on_time
    FROM reading r
    JOIN due USING (vendor_profile, interval_start, interval_length_s)
    WHERE r.quality <> 1 AND r.committed_at <= due.deadline
    GROUP BY 1, 2, 3
)
SELECT
    $__timeGroupAlias(due.interval_start, $__interval),
    due.vendor_profile AS metric,
    100 - coalesce(sum(came.on_time), 0) / sum(due.meters)::float8 * 100 AS value
FROM due
LEFT JOIN came USING (vendor_profile, interval_start, interval_length_s)
GROUP BY 1, 2
ORDER BY 1, 2
