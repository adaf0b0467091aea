-- At the end of the range.
SELECT count(DISTINCT o.id) AS open_outages, count(DISTINCT p.meter_id) AS customers_dark
FROM outage o
LEFT JOIN outage_usage_point p ON p.outage_id = o.id
    AND p.dark_from <= $__timeTo()::timestamptz AND (p.dark_to IS NULL OR p.dark_to > $__timeTo()::timestamptz)
WHERE o.withdrawn_at IS NULL AND o.began_at <= $__timeTo()::timestamptz
    AND (o.ended_at IS NULL OR o.ended_at > $__timeTo()::timestamptz)
