SELECT r.interval_start AS "time", r.import_wh AS import, coalesce(r.export_wh, 0) AS export
FROM stored_reading r
WHERE r.usage_point = ${usage_point:sqlstring} AND $__timeFilter(r.interval_start)
ORDER BY 1
