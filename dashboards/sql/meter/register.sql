SELECT r.interval_start + make_interval(secs => r.interval_length_s) AS "time", r.import_register_wh AS import
FROM stored_reading r
WHERE r.usage_point = ${usage_point:sqlstring} AND $__timeFilter(r.interval_start)
    AND r.import_register_wh IS NOT NULL
ORDER BY 1
