SELECT bucket_start_s AS "time", age_p50_s AS p50, age_p95_s AS p95, age_max_s AS max
FROM read_latency($__timeFrom(), $__timeTo(), $__interval_ms / 1000.0)
ORDER BY 1
