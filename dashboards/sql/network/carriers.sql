SELECT
    coalesce(nullif(carrier, ''), 'own connection') AS carrier, meters, reads, late, late_share * 100 AS late_percent,
    recovered, requests, repeated, unanswered, bytes_per_meter_and_day
FROM carrier_figure($__timeFrom(), $__timeTo())
ORDER BY late_share DESC NULLS LAST, recovered DESC, 1
LIMIT 50
