-- Supply as the meter itself reports it, and whether it can be reached, at every instant at which either changes: 0 good,
-- 1 not.
WITH meter AS (
    SELECT id FROM end_device WHERE usage_point = ${usage_point:sqlstring}
), dark AS (
    SELECT i.down_at, i.up_at
    FROM interruption i
    JOIN meter m ON m.id = i.meter_id
    WHERE i.down_at <= $__timeTo()::timestamptz AND (i.up_at IS NULL OR i.up_at >= $__timeFrom()::timestamptz)
), instant AS (
    SELECT $__timeFrom()::timestamptz AS at
    UNION
    SELECT down_at FROM dark WHERE down_at >= $__timeFrom()::timestamptz
    UNION
    SELECT up_at FROM dark WHERE up_at <= $__timeTo()::timestamptz
    UNION
    SELECT c.at FROM device_communication c JOIN meter m ON m.id = c.meter_id WHERE $__timeFilter(c.at)
)
SELECT
    i.at AS "time",
    'supply' AS metric,
    EXISTS (SELECT FROM dark d WHERE d.down_at <= i.at AND (d.up_at IS NULL OR d.up_at > i.at))::integer AS value
FROM instant i
CROSS JOIN meter m
UNION ALL
SELECT
    i.at,
    'communication',
    coalesce((
        SELECT (NOT c.online)::integer FROM device_communication c
        WHERE c.meter_id = m.id AND c.at <= i.at ORDER BY c.at DESC LIMIT 1
    ), 0)
FROM instant i
CROSS JOIN meter m
ORDER BY 1, 2
