SELECT
    $__timeGroup(received_at, $__interval) AS "time",
    percentile_cont(0.5) WITHIN GROUP (ORDER BY delay_s) AS p50,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY delay_s) AS p95,
    max(delay_s) AS max
FROM told_event
WHERE $__timeFilter(received_at)
GROUP BY 1
ORDER BY 1
