-- How far the generator is behind its own schedule: beyond its limit the run is invalid, not slow.
SELECT s.at AS "time", s.metric, max(s.value) AS value
FROM load_test_sample s
WHERE s.run = ${run:sqlstring} AND s.source = 'generator' AND s.metric IN ('lag_ms', 'lag_limit_ms')
GROUP BY 1, 2
ORDER BY 1, 2
