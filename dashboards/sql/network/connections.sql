SELECT
    slot.at AS "time",
    count(*) FILTER (WHERE NOT c.online) AS lost,
    count(*) FILTER (WHERE c.online) AS made
FROM (
    SELECT generate_series(
        floor(extract(epoch FROM $__timeFrom()::timestamptz) * 1000 / $__interval_ms) * $__interval_ms,
        extract(epoch FROM $__timeTo()::timestamptz) * 1000,
        $__interval_ms
    ) / 1000 AS at
) slot
LEFT JOIN communication_history c ON $__timeGroup(c.at, $__interval) = slot.at AND $__timeFilter(c.at)
GROUP BY 1
ORDER BY 1
