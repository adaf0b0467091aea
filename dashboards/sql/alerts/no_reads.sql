-- Seconds since anything was received, by the database's clock; a day if nothing was in the range.
SELECT coalesce(extract(epoch FROM $__timeTo()::timestamptz - max(r.received_at)), 86400)::float8 AS value
FROM network_reading r
WHERE $__timeFilter(r.interval_start)
