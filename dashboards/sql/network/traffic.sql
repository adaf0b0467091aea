-- Of all collectors in one, so that a hundred of them can be read.
SELECT
    hour AS "time",
    coalesce(sum(bytes) FILTER (WHERE carrier <> ''), 0) AS collectors,
    coalesce(sum(bytes) FILTER (WHERE carrier = ''), 0) AS own_connection
FROM traffic
WHERE $__timeFilter(hour)
GROUP BY 1
ORDER BY 1
