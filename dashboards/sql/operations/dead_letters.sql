SELECT slot.at AS "time", coalesce(sum(l.messages), 0) AS dead_letters
FROM (
    SELECT generate_series(
        floor(extract(epoch FROM $__timeFrom()::timestamptz) * 1000 / $__interval_ms) * $__interval_ms,
        extract(epoch FROM $__timeTo()::timestamptz) * 1000,
        $__interval_ms
    ) / 1000 AS at
) slot
LEFT JOIN dead_letter_origin l ON $__timeGroup(l.received_at, $__interval) = slot.at AND $__timeFilter(l.received_at)
GROUP BY 1
ORDER BY 1
