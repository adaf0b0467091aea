-- The reads that are overdue, at each instant: at the end of the range as many as `missing` of read_figure. Each is due at
-- its deadline, and done with when it is stored, or when nobody waits for it any more (dark_reading).
WITH reading AS (
    SELECT meter_id, interval_start, committed_at, deadline, received_at, owed
    FROM judged_reading
    WHERE interval_start >= $__timeFrom() AND interval_start < $__timeTo()
), clock AS (
    SELECT max(received_at) AS at FROM reading
), excuse AS (
    SELECT e.*, e.owed_by IS NULL OR e.owed_by > clock.at AS holds
    FROM clock, dark_reading($__timeFrom(), $__timeTo()) e
    WHERE e.deadline <= clock.at
), change AS (
    SELECT due.deadline AS at, due.meters AS by
    FROM clock, due_reading($__timeFrom(), $__timeTo(), clock.at) due
    UNION ALL
    SELECT known_at, -1 FROM excuse
    UNION ALL
    SELECT owed_by, 1 FROM excuse WHERE NOT holds
    UNION ALL
    SELECT greatest(r.committed_at, r.deadline, e.owed_by), -1
    FROM reading r
    CROSS JOIN clock
    LEFT JOIN excuse e ON e.meter_id = r.meter_id AND e.interval_start = r.interval_start
    WHERE r.owed AND r.deadline <= clock.at AND NOT coalesce(e.holds, false)
), bucket AS (
    SELECT $__timeGroupAlias(at, $__interval), sum(by) AS by FROM change GROUP BY 1
)
SELECT "time", sum(by) OVER (ORDER BY "time") AS overdue FROM bucket ORDER BY 1
