-- Over the hours of the range of which every meter's readings are there.
WITH meters AS (
    SELECT u.transformer, count(*) AS meters
    FROM network_usage_point u
    JOIN end_device d USING (usage_point)
    GROUP BY 1
), metered AS (
    SELECT
        e.transformer,
        $__timeGroup(e.interval_start, '1h') AS hour,
        sum(e.energy_wh)::float8 AS energy_wh,
        sum(e.readings * e.interval_length_s) AS covered_s
    FROM metered_energy e
    WHERE $__timeFilter(e.interval_start)
    GROUP BY 1, 2
), delivered AS (
    SELECT
        m.transformer,
        $__timeGroup(m.interval_start, '1h') AS hour,
        sum(m.energy_wh) AS energy_wh,
        sum(m.interval_length_s) AS covered_s
    FROM transformer_measurement m
    WHERE $__timeFilter(m.interval_start)
    GROUP BY 1, 2
)
SELECT
    transformer,
    max(meters.meters) AS meters,
    count(*) AS hours,
    sum(delivered.energy_wh) AS delivered_wh,
    sum(metered.energy_wh) AS metered_wh,
    sum(delivered.energy_wh - metered.energy_wh) AS lost_wh,
    sum(delivered.energy_wh - metered.energy_wh) / nullif(sum(delivered.energy_wh), 0) * 100 AS lost_percent
FROM metered
JOIN delivered USING (transformer, hour)
JOIN meters USING (transformer)
WHERE delivered.covered_s = 3600 AND metered.covered_s = 3600 * meters.meters
GROUP BY 1
ORDER BY lost_percent DESC NULLS LAST
LIMIT 200
