-- By the straight line from the transformer; those without a position are a class of their own.
WITH place AS (
    SELECT
        d.id,
        coalesce(u.nominal_voltage_v, 230) AS nominal_v,
        111195 * sqrt(
            (u.latitude - t.latitude) ^ 2 + ((u.longitude - t.longitude) * cos(radians(t.latitude))) ^ 2
        ) AS distance_m
    FROM network_usage_point u
    JOIN end_device d USING (usage_point)
    JOIN network_device t ON t.id = u.transformer
    WHERE u.transformer = ${transformer:sqlstring}
)
SELECT
    coalesce(class.from_m || '–' || class.from_m + 50 || ' m', 'unknown') AS distance,
    min(v.volts / p.nominal_v) * 100 AS lowest,
    avg(v.volts / p.nominal_v) * 100 AS mean,
    max(v.volts / p.nominal_v) * 100 AS highest
FROM place p
CROSS JOIN LATERAL (SELECT floor(p.distance_m / 50)::integer * 50 AS from_m) class
JOIN network_reading r ON r.meter_id = p.id
CROSS JOIN LATERAL (VALUES (r.voltage_l1_v), (r.voltage_l2_v), (r.voltage_l3_v)) AS v (volts)
WHERE $__timeFilter(r.interval_start) AND v.volts > 0
GROUP BY class.from_m
ORDER BY class.from_m
