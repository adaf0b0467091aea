-- What was due in the range, and what became of it. Known gaps are no reads: the meter was dark.
WITH reading AS (
    SELECT d.vendor_profile, r.interval_start, r.interval_length_s, r.received_at, r.committed_at, r.quality
    FROM network_reading r
    JOIN end_device d ON d.id = r.meter_id
    WHERE $__timeFilter(r.interval_start) AND r.revision = 0
), due AS (
    SELECT * FROM due_reading($__timeFrom(), $__timeTo(), (SELECT max(received_at) FROM reading))
), came AS (
    SELECT
        count(*) FILTER (WHERE r.quality <> 1) AS received,
        count(*) FILTER (WHERE r.quality = 1) AS estimated,
        count(*) FILTER (WHERE r.quality <> 1 AND r.committed_at > due.deadline) AS late
    FROM reading r
    JOIN due USING (vendor_profile, interval_start, interval_length_s)
), owed AS (
    SELECT
        coalesce((SELECT sum(meters) FROM due), 0)
        - (SELECT count(*) FROM interval_gap g WHERE $__timeFilter(g.interval_start)) AS expected
)
SELECT
    greatest(owed.expected, came.received + came.estimated) AS expected,
    came.received,
    came.late,
    came.estimated,
    greatest(owed.expected - came.received - came.estimated, 0) AS missing
FROM owed, came
