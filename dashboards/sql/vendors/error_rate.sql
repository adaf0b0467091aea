-- A bucket of which nothing is owed, for instance since all are dark, has no rate.
SELECT bucket_start_s AS "time", vendor_profile AS metric, 100 - on_time_share * 100 AS value
FROM read_figure($__timeFrom(), $__timeTo(), $__interval_ms / 1000.0, true)
WHERE on_time_share IS NOT NULL
ORDER BY 1, 2
