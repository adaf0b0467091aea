-- As measured at the end of each interval; a phase without power has none to speak of.
SELECT
    r.interval_start + make_interval(secs => r.interval_length_s) AS "time",
    r.power_factor_l1 AS l1,
    r.power_factor_l2 AS l2,
    r.power_factor_l3 AS l3
FROM interval_reading r
JOIN end_device d ON d.id = r.meter_id
WHERE d.usage_point = ${usage_point:sqlstring} AND $__timeFilter(r.interval_start) AND r.revision = 0
ORDER BY 1
