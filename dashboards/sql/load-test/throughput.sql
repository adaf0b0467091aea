-- With the ceilings that the test was given, or that were measured beside it.
SELECT s.at AS "time", s.source || ': ' || s.metric AS metric, avg(s.value) AS value
FROM load_test_sample s
WHERE s.run = ${run:sqlstring}
    AND s.metric IN (
        'offered_messages_per_s', 'messages_per_s', 'rows_per_s', 'ceiling_messages_per_s', 'ceiling_rows_per_s'
    )
GROUP BY 1, 2
ORDER BY 1, 2
