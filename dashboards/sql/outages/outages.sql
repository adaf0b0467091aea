-- Those that lasted at some instant of the range, open ones first.
WITH found AS (
    SELECT
        o.id,
        CASE
            WHEN o.ended_at IS NULL THEN 'open'
            WHEN o.ended_at - o.began_at > interval '5 minutes' THEN 'sustained'
            ELSE 'momentary'
        END AS status,
        coalesce(o.device, 'unknown') AS device,
        o.began_at,
        o.ended_at,
        extract(epoch FROM o.detected_at - o.began_at)::float8 AS detected_after_s
    FROM outage o
    WHERE o.withdrawn_at IS NULL AND o.began_at <= $__timeTo()::timestamptz
        AND (o.ended_at IS NULL OR o.ended_at >= $__timeFrom()::timestamptz)
), listed AS (
    SELECT
        f.status, f.device, f.began_at, f.ended_at, f.detected_after_s,
        count(*) AS customers,
        count(p.gasp_received_at) AS last_gasps,
        count(p.restore_received_at) AS restores
    FROM found f
    JOIN outage_usage_point p ON p.outage_id = f.id
    GROUP BY f.id, f.status, f.device, f.began_at, f.ended_at, f.detected_after_s
)
SELECT status, device, began_at, ended_at, customers, last_gasps, restores, detected_after_s FROM listed
UNION ALL
SELECT 'none', '', NULL, NULL, 0, 0, 0, NULL WHERE NOT EXISTS (SELECT FROM listed)
ORDER BY ended_at DESC NULLS FIRST, began_at DESC
LIMIT 200
