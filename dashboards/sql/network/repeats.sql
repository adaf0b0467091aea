SELECT
    slot.at AS "time",
    count(k.id) AS requests,
    coalesce(sum(greatest(k.attempts - 1, 0)), 0) AS repeated,
    count(*) FILTER (WHERE k.status IN ('expired', 'cancelled')) AS unanswered
FROM (
    SELECT generate_series(
        floor(extract(epoch FROM $__timeFrom()::timestamptz) * 1000 / $__interval_ms) * $__interval_ms,
        extract(epoch FROM $__timeTo()::timestamptz) * 1000,
        $__interval_ms
    ) / 1000 AS at
) slot
LEFT JOIN command k ON $__timeGroup(k.requested_at, $__interval) = slot.at AND $__timeFilter(k.requested_at)
    AND k.purpose = 'load_profile.read'
GROUP BY 1
ORDER BY 1
