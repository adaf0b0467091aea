SELECT
    count(*) FILTER (WHERE r.quality = 'actual') AS actual,
    count(*) FILTER (WHERE r.quality = 'estimated') AS estimated,
    count(*) FILTER (WHERE r.quality = 'revised') AS revised,
    count(*) FILTER (WHERE r.origin = 'recovered') AS recovered,
    (
        SELECT count(*) FROM interval_gap g
        JOIN end_device d ON d.id = g.meter_id
        WHERE d.usage_point = ${usage_point:sqlstring} AND $__timeFilter(g.interval_start)
    ) AS dark
FROM stored_reading r
WHERE r.usage_point = ${usage_point:sqlstring} AND $__timeFilter(r.interval_start)
