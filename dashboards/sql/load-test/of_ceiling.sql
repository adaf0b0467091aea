-- The highest throughput of the run against the lowest ceiling, in messages.
SELECT
    max(value) FILTER (WHERE metric = 'messages_per_s')
    / nullif(min(value) FILTER (WHERE metric = 'ceiling_messages_per_s'), 0) * 100 AS of_ceiling
FROM load_test_sample
WHERE run = ${run:sqlstring} AND source IN ('head-end', 'database')
    OR run = ${run:sqlstring} AND metric = 'ceiling_messages_per_s'
