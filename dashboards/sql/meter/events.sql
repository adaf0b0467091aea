WITH event AS (
    SELECT e.received_at, e.device_time, e.sequence, e.code, e.detail::text AS detail
    FROM end_device_event e
    JOIN end_device d ON d.id = e.meter_id
    WHERE d.usage_point = ${usage_point:sqlstring} AND $__timeFilter(e.received_at)
)
SELECT received_at, device_time, sequence, code, detail FROM event
UNION ALL
SELECT NULL, NULL, NULL, 'none', '' WHERE NOT EXISTS (SELECT FROM event)
ORDER BY received_at DESC NULLS LAST, sequence DESC
LIMIT 200
