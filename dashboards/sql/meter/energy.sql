-- The latest value of each interval.
SELECT DISTINCT ON (r.interval_start, r.interval_length_s)
    r.interval_start AS "time",
    r.import_wh AS import,
    coalesce(r.export_wh, 0) AS export
FROM interval_reading r
JOIN end_device d ON d.id = r.meter_id
WHERE d.usage_point = ${usage_point:sqlstring} AND $__timeFilter(r.interval_start)
ORDER BY r.interval_start, r.interval_length_s, r.revision DESC
