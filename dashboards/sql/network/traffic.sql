-- Of all collectors in one, so that a hundred of them can be read.
SELECT
    hour AS "time",
    sum(bytes) FILTER (WHERE carrier <> '') AS collectors,
    sum(bytes) FILTER (WHERE carrier = '') AS own_connection
FROM traffic
WHERE $__timeFilter(hour)
GROUP BY 1
ORDER BY 1
