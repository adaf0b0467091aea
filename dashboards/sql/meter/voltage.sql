-- As measured at the end of each interval; a phase that is not connected, or was dark, has none.
SELECT
    r.interval_start + make_interval(secs => r.interval_length_s) AS "time",
    nullif(r.voltage_l1_v, 0) AS l1,
    nullif(r.voltage_l2_v, 0) AS l2,
    nullif(r.voltage_l3_v, 0) AS l3
FROM interval_reading r
JOIN end_device d ON d.id = r.meter_id
WHERE d.usage_point = ${usage_point:sqlstring} AND $__timeFilter(r.interval_start) AND r.revision = 0
ORDER BY 1
