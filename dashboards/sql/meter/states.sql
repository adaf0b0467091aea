-- Supply as the meter itself reports it, and whether it can be reached. 0 good, 1 not.
WITH meter AS (
    SELECT id FROM end_device WHERE usage_point = ${usage_point:sqlstring}
), dark AS (
    SELECT i.down_at, i.up_at
    FROM interruption i
    JOIN meter m ON m.id = i.meter_id
    WHERE i.down_at <= $__timeTo()::timestamptz AND (i.up_at IS NULL OR i.up_at >= $__timeFrom()::timestamptz)
)
SELECT "time", metric, max(value) AS value
FROM (
    SELECT $__timeFrom()::timestamptz AS "time", 'supply' AS metric, 0 AS value FROM meter
    UNION ALL
    SELECT greatest(down_at, $__timeFrom()::timestamptz), 'supply', 1 FROM dark
    UNION ALL
    SELECT up_at, 'supply', 0 FROM dark WHERE up_at <= $__timeTo()::timestamptz
    UNION ALL
    SELECT $__timeFrom()::timestamptz, 'communication', coalesce((
        SELECT (NOT c.online)::integer FROM device_communication c
        WHERE c.meter_id = m.id AND c.at <= $__timeFrom()::timestamptz ORDER BY c.at DESC LIMIT 1
    ), 0) FROM meter m
    UNION ALL
    SELECT c.at, 'communication', (NOT c.online)::integer
    FROM device_communication c
    JOIN meter m ON m.id = c.meter_id
    WHERE $__timeFilter(c.at)
) state
GROUP BY 1, 2
ORDER BY 1, 2
