-- As measured at the end of each interval; a phase that is not connected, or was dark, has none.
SELECT
    r.interval_start + make_interval(secs => r.interval_length_s) AS "time",
    nullif(r.voltage_l1_v, 0) AS l1,
    nullif(r.voltage_l2_v, 0) AS l2,
    nullif(r.voltage_l3_v, 0) AS l3
FROM stored_reading r
WHERE r.usage_point = ${usage_point:sqlstring} AND $__timeFilter(r.interval_start)
ORDER BY 1
