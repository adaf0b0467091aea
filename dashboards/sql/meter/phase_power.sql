-- As measured at the end of each interval; below zero it feeds in.
SELECT
    r.interval_start + make_interval(secs => r.interval_length_s) AS "time",
    r.active_power_l1_w AS l1,
    r.active_power_l2_w AS l2,
    r.active_power_l3_w AS l3
FROM interval_reading r
JOIN end_device d ON d.id = r.meter_id
WHERE d.usage_point = ${usage_point:sqlstring} AND $__timeFilter(r.interval_start) AND r.revision = 0
ORDER BY 1
