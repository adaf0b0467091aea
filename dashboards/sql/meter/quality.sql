-- By what each interval's latest value is.
WITH latest AS (
    SELECT DISTINCT ON (r.interval_start, r.interval_length_s) r.quality, r.origin
    FROM interval_reading r
    JOIN end_device d ON d.id = r.meter_id
    WHERE d.usage_point = ${usage_point:sqlstring} AND $__timeFilter(r.interval_start)
    ORDER BY r.interval_start, r.interval_length_s, r.revision DESC
)
SELECT
    count(*) FILTER (WHERE quality = 0) AS actual,
    count(*) FILTER (WHERE quality = 1) AS estimated,
    count(*) FILTER (WHERE quality = 2) AS revised,
    count(*) FILTER (WHERE origin = 1) AS recovered,
    (
        SELECT count(*) FROM interval_gap g
        JOIN end_device d ON d.id = g.meter_id
        WHERE d.usage_point = ${usage_point:sqlstring} AND $__timeFilter(g.interval_start)
    ) AS dark
FROM latest
