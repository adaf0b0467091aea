-- By the hour, for hours of which every meter's readings are there. What is lost is also what nobody meters.
WITH metered AS (
    SELECT
        $__timeGroup(e.interval_start, '1h') AS hour,
        sum(e.energy_wh) AS energy_wh,
        sum(e.readings * e.interval_length_s) AS covered_s
    FROM metered_energy e
    WHERE e.transformer = ${transformer:sqlstring} AND $__timeFilter(e.interval_start)
    GROUP BY 1
), delivered AS (
    SELECT $__timeGroup(m.interval_start, '1h') AS hour, sum(m.energy_wh) AS energy_wh, sum(m.interval_length_s) AS covered_s
    FROM transformer_measurement m
    WHERE m.transformer = ${transformer:sqlstring} AND $__timeFilter(m.interval_start)
    GROUP BY 1
)
SELECT
    hour AS "time",
    delivered.energy_wh AS delivered,
    metered.energy_wh::float8 AS metered,
    delivered.energy_wh - metered.energy_wh::float8 AS lost
FROM metered
JOIN delivered USING (hour)
WHERE delivered.covered_s = 3600 AND metered.covered_s = 3600 * (
    SELECT count(*) FROM network_usage_point u JOIN end_device d USING (usage_point)
    WHERE u.transformer = ${transformer:sqlstring}
)
ORDER BY 1
