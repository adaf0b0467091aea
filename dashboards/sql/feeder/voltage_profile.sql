-- By the straight line from the transformer; those without a position are a class of their own.
SELECT
    coalesce(class.from_m || '–' || class.from_m + 50 || ' m', 'unknown') AS distance,
    min(v.of_nominal_percent) AS lowest,
    avg(v.of_nominal_percent) AS mean,
    max(v.of_nominal_percent) AS highest
FROM phase_voltage v
JOIN network_device t ON t.id = v.transformer
CROSS JOIN LATERAL (
    SELECT floor(111195 * sqrt(
        (v.latitude - t.latitude) ^ 2 + ((v.longitude - t.longitude) * cos(radians(t.latitude))) ^ 2
    ) / 50)::integer * 50 AS from_m
) class
WHERE v.transformer = ${transformer:sqlstring} AND $__timeFilter(v.interval_start)
GROUP BY class.from_m
ORDER BY class.from_m
