-- 100: one core.
SELECT s.at AS "time", s.source AS metric, max(s.value) AS value
FROM load_test_sample s
WHERE s.run = ${run:sqlstring} AND s.metric = 'cpu_percent'
GROUP BY 1, 2
ORDER BY 1, 2
