-- The devices of the longest outages of the range: 1 out, 0 back. A range without outages has one row that says so.
WITH found AS (
    SELECT
        coalesce(device, 'outage ' || id) AS metric,
        greatest(began_at, $__timeFrom()::timestamptz) AS from_at,
        ended_at
    FROM outage
    WHERE withdrawn_at IS NULL AND began_at <= $__timeTo()::timestamptz
        AND (ended_at IS NULL OR ended_at >= $__timeFrom()::timestamptz)
    ORDER BY coalesce(ended_at, $__timeTo()::timestamptz) - began_at DESC
    LIMIT 30
)
SELECT "time", metric, max(value) AS value
FROM (
    SELECT $__timeFrom()::timestamptz AS "time", metric, 0 AS value FROM found
    UNION ALL
    SELECT from_at, metric, 1 FROM found
    UNION ALL
    SELECT ended_at, metric, 0 FROM found WHERE ended_at <= $__timeTo()::timestamptz
    UNION ALL
    SELECT $__timeFrom()::timestamptz, 'no outage', 0 WHERE NOT EXISTS (SELECT FROM found)
) state
GROUP BY 1, 2
ORDER BY 1, 2
