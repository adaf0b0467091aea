WITH reading AS (
    SELECT d.vendor_profile, r.interval_start, r.interval_length_s, r.received_at, r.committed_at
    FROM network_reading r
    JOIN end_device d ON d.id = r.meter_id
    WHERE $__timeFilter(r.interval_start) AND r.revision = 0 AND r.quality <> 1
), due AS (
    SELECT * FROM due_reading($__timeFrom(), $__timeTo(), (SELECT max(received_at) FROM reading))
), came AS (
    SELECT
        vendor_profile,
        interval_start,
        interval_length_s,
        count(*) AS received,
        count(*) FILTER (WHERE r.committed_at > due.deadline) AS late
    FROM reading r
    JOIN due USING (vendor_profile, interval_start, interval_length_s)
    GROUP BY 1, 2, 3
)
SELECT
    $__timeGroupAlias(due.interval_start, $__interval),
    sum(due.meters) AS expected,
    coalesce(sum(came.received), 0) AS received,
    coalesce(sum(came.late), 0) AS late
FROM due
LEFT JOIN came USING (vendor_profile, interval_start, interval_length_s)
GROUP BY 1
ORDER BY 1
