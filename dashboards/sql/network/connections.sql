SELECT
    $__timeGroup(at, $__interval) AS "time",
    count(*) FILTER (WHERE NOT online) AS lost,
    count(*) FILTER (WHERE online) AS made
FROM communication_history
WHERE $__timeFilter(at)
GROUP BY 1
ORDER BY 1
