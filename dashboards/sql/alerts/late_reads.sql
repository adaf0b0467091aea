-- Of the intervals that are due, those that did not come by their deadline, in per cent. Known gaps are no reads.
WITH reading AS (
    SELECT d.vendor_profile, r.interval_start, r.interval_length_s, r.received_at, r.committed_at
    FROM network_reading r
    JOIN end_device d ON d.id = r.meter_id
    WHERE $__timeFilter(r.interval_start) AND r.revision = 0 AND r.quality <> 1
), due AS (
    SELECT * FROM due_reading($__timeFrom(), $__timeTo(), (SELECT max(received_at) FROM reading))
), came AS (
    SELECT count(*) AS on_time
    FROM reading r
    JOIN due USING (vendor_profile, interval_start, interval_length_s)
    WHERE r.committed_at <= due.deadline
)
SELECT coalesce(100 - came.on_time / nullif(
    (SELECT sum(meters) FROM due) - (SELECT count(*) FROM interval_gap g WHERE $__timeFilter(g.interval_start)), 0
)::float8 * 100, 0) AS value
FROM came
