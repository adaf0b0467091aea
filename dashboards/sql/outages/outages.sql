-- Those that lasted at some instant of the range, open ones first.
WITH listed AS (
    SELECT status, coalesce(device, 'unknown') AS device, began_at, ended_at, customers, last_gasps, restores,
        extract(epoch FROM detected_at - began_at)::float8 AS detected_after_s
    FROM outage_report
    WHERE began_at <= $__timeTo()::timestamptz AND (ended_at IS NULL OR ended_at >= $__timeFrom()::timestamptz)
)
SELECT status, device, began_at, ended_at, customers, last_gasps, restores, detected_after_s FROM listed
UNION ALL
SELECT 'none', '', NULL, NULL, 0, 0, 0, NULL WHERE NOT EXISTS (SELECT FROM listed)
ORDER BY ended_at DESC NULLS FIRST, began_at DESC
LIMIT 200
