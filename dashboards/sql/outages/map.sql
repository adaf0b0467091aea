-- At the end of the range. 2: without supply, by the head-end's knowledge; 1: cannot be reached, which says nothing of
-- supply; 0: neither.
SELECT
    u.latitude,
    u.longitude,
    u.usage_point AS name,
    CASE
        WHEN EXISTS (
            SELECT FROM dark_customer p
            WHERE p.meter_id = d.id AND p.dark_from <= $__timeTo()::timestamptz
                AND (p.dark_to IS NULL OR p.dark_to > $__timeTo()::timestamptz)
        ) THEN 2
        WHEN NOT coalesce(heard.online, true) THEN 1
        ELSE 0
    END AS value,
    u.transformer
FROM network_usage_point u
JOIN end_device d USING (usage_point)
LEFT JOIN LATERAL (
    SELECT c.online FROM device_communication c
    WHERE c.meter_id = d.id AND c.at <= $__timeTo()::timestamptz
    ORDER BY c.at DESC LIMIT 1
) heard ON true
WHERE u.latitude IS NOT NULL AND u.longitude IS NOT NULL
