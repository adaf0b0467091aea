-- Load profiles that meters were asked for, by what became of it.
SELECT
    slot.at AS "time",
    count(c.id) FILTER (WHERE c.status = 'answered') AS answered,
    count(c.id) FILTER (WHERE c.status = 'expired') AS expired,
    count(c.id) FILTER (WHERE c.status = 'refused') AS refused,
    count(c.id) FILTER (WHERE c.status = 'issued') AS open
FROM (
    SELECT generate_series(
        floor(extract(epoch FROM $__timeFrom()::timestamptz) * 1000 / $__interval_ms) * $__interval_ms,
        extract(epoch FROM $__timeTo()::timestamptz) * 1000,
        $__interval_ms
    ) / 1000 AS at
) slot
LEFT JOIN command c ON $__timeGroup(c.issued_at, $__interval) = slot.at AND $__timeFilter(c.issued_at)
GROUP BY 1
ORDER BY 1
