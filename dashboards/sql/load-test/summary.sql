SELECT s.source, s.metric, min(s.value) AS lowest, avg(s.value) AS mean, max(s.value) AS highest,
    count(*) AS samples
FROM load_test_sample s
WHERE s.run = ${run:sqlstring}
GROUP BY 1, 2
ORDER BY 1, 2
