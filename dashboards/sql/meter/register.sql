-- At the end of each interval; a revision need not have it.
SELECT r.interval_start + make_interval(secs => r.interval_length_s) AS "time", r.import_register_wh AS import
FROM interval_reading r
JOIN end_device d ON d.id = r.meter_id
WHERE d.usage_point = ${usage_point:sqlstring} AND $__timeFilter(r.interval_start)
    AND r.revision = 0 AND r.import_register_wh IS NOT NULL
ORDER BY 1
