-- By when voltage was back, on the meter's clock.
WITH event AS (
    SELECT * FROM voltage_event WHERE $__timeFilter(ended_at)
)
SELECT usage_point, transformer, code, phase, ended_at, duration_s, extreme_v, of_nominal_percent FROM event
UNION ALL
SELECT 'none', '', '', '', NULL, 0, 0, 0 WHERE NOT EXISTS (SELECT FROM event)
ORDER BY 5 DESC NULLS LAST, 1
LIMIT 100
