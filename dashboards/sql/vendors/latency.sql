SELECT vendor_profile AS vendor, age_p50_s AS p50, age_p95_s AS p95
FROM read_latency($__timeFrom(), $__timeTo(), NULL, true)
ORDER BY 1
