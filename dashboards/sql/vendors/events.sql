WITH event AS (
    SELECT d.vendor_profile AS vendor, e.code, count(*) AS events, count(DISTINCT e.meter_id) AS meters,
        max(e.received_at) AS last_at
    FROM end_device_event e
    JOIN end_device d ON d.id = e.meter_id
    WHERE $__timeFilter(e.received_at)
    GROUP BY 1, 2
)
SELECT vendor, code, events, meters, last_at FROM event
UNION ALL
SELECT 'none', '', 0, 0, NULL WHERE NOT EXISTS (SELECT FROM event)
ORDER BY 3 DESC, 1, 2
LIMIT 100
