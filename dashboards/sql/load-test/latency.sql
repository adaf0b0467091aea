SELECT s.at AS "time", s.source || ': ' || s.metric AS metric, max(s.value) AS value
FROM load_test_sample s
WHERE s.run = ${run:sqlstring} AND s.metric IN ('p50_ms', 'p95_ms', 'p99_ms')
GROUP BY 1, 2
ORDER BY 1, 2
