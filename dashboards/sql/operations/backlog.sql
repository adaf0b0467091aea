-- Intervals of the range whose deadline has passed and that are neither stored nor known not to exist, at each instant.
WITH reading AS (
    SELECT d.vendor_profile, r.interval_start, r.interval_length_s, r.received_at, r.committed_at
    FROM network_reading r
    JOIN end_device d ON d.id = r.meter_id
    WHERE $__timeFilter(r.interval_start) AND r.revision = 0
), due AS (
    SELECT * FROM due_reading($__timeFrom(), $__timeTo(), (SELECT max(received_at) FROM reading))
), change AS (
    SELECT deadline AS at, meters AS by FROM due
    UNION ALL
    SELECT greatest(r.committed_at, due.deadline), -1
    FROM reading r
    JOIN due USING (vendor_profile, interval_start, interval_length_s)
    UNION ALL
    SELECT greatest(g.noted_at, due.deadline), -1
    FROM interval_gap g
    JOIN end_device d ON d.id = g.meter_id
    JOIN due ON due.vendor_profile = d.vendor_profile AND due.interval_start = g.interval_start
        AND due.interval_length_s = g.interval_length_s
    WHERE $__timeFilter(g.interval_start)
), bucket AS (
    SELECT $__timeGroupAlias(at, $__interval), sum(by) AS by FROM change GROUP BY 1
)
SELECT "time", greatest(sum(by) OVER (ORDER BY "time"), 0) AS overdue FROM bucket ORDER BY 1
