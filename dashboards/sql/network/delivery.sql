SELECT class, within_s, messages, in_time_share * 100 AS in_time_percent, p50_s, p95_s
FROM delivery_figure($__timeFrom(), $__timeTo())
ORDER BY 1
