SELECT s.at AS "time", s.source || ': ' || s.metric AS metric, max(s.value) AS value
FROM load_test_sample s
WHERE s.run = ${run:sqlstring} AND s.metric IN ('users', 'errors_per_s', 'pending_messages')
GROUP BY 1, 2
ORDER BY 1, 2
