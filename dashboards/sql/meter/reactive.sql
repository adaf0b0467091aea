-- The latest value of each interval, by quadrant; what is fed back counts downwards.
SELECT DISTINCT ON (r.interval_start, r.interval_length_s)
    r.interval_start AS "time",
    r.reactive_q1_varh AS q1,
    r.reactive_q2_varh AS q2,
    -r.reactive_q3_varh AS q3,
    -r.reactive_q4_varh AS q4
FROM interval_reading r
JOIN end_device d ON d.id = r.meter_id
WHERE d.usage_point = ${usage_point:sqlstring} AND $__timeFilter(r.interval_start)
ORDER BY r.interval_start, r.interval_length_s, r.revision DESC
