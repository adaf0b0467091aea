-- Of the meters whose state is known.
SELECT
    d.vendor_profile AS vendor,
    count(*) FILTER (WHERE s.online) / count(*)::float8 * 100 AS reachable_percent
FROM end_device d
JOIN device_state s ON s.meter_id = d.id
GROUP BY 1
ORDER BY 1
