SELECT
    slot.at AS "time",
    coalesce(sum(r.answered), 0) AS answered,
    coalesce(sum(r.expired), 0) AS expired,
    coalesce(sum(r.refused), 0) AS refused,
    coalesce(sum(r.open), 0) AS open
FROM (
    SELECT generate_series(
        floor(extract(epoch FROM $__timeFrom()::timestamptz) * 1000 / $__interval_ms) * $__interval_ms,
        extract(epoch FROM $__timeTo()::timestamptz) * 1000,
        $__interval_ms
    ) / 1000 AS at
) slot
LEFT JOIN request_outcome r ON $__timeGroup(r.issued_at, $__interval) = slot.at AND $__timeFilter(r.issued_at)
GROUP BY 1
ORDER BY 1
