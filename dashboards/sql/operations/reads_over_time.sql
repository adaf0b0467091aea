SELECT bucket_start_s AS "time", expected, received, late
FROM read_figure($__timeFrom(), $__timeTo(), $__interval_ms / 1000.0)
ORDER BY 1
