-- As measured at the end of each interval.
SELECT
    r.interval_start + make_interval(secs => r.interval_length_s) AS "time",
    r.current_l1_a AS l1,
    r.current_l2_a AS l2,
    r.current_l3_a AS l3
FROM interval_reading r
JOIN end_device d ON d.id = r.meter_id
WHERE d.usage_point = ${usage_point:sqlstring} AND $__timeFilter(r.interval_start) AND r.revision = 0
ORDER BY 1
