SELECT
    $__timeGroup(requested_at, $__interval) AS "time",
    count(*) AS requests,
    sum(greatest(attempts - 1, 0)) AS repeated,
    count(*) FILTER (WHERE status IN ('expired', 'cancelled')) AS unanswered
FROM command
WHERE $__timeFilter(requested_at) AND purpose = 'load_profile.read'
GROUP BY 1
ORDER BY 1
