-- The devices of the longest outages of the range, each at every instant at which any of them changes: 1 out, 0 back. A
-- range without outages has one row that says so.
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
), instant AS (
    SELECT $__timeFrom()::timestamptz AS at
    UNION
    SELECT from_at FROM found
    UNION
    SELECT ended_at FROM found WHERE ended_at <= $__timeTo()::timestamptz
)
SELECT
    i.at AS "time",
    f.metric,
    max((f.from_at <= i.at AND (f.ended_at IS NULL OR f.ended_at > i.at))::integer) AS value
FROM instant i
CROSS JOIN found f
GROUP BY 1, 2
UNION ALL
SELECT $__timeFrom()::timestamptz, 'no outage', 0 WHERE NOT EXISTS (SELECT FROM found)
ORDER BY 1, 2
