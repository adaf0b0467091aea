-- What head-end or database reached at most, of the ceiling for messages or for rows, whichever is nearer.
SELECT greatest(
    max(value) FILTER (WHERE metric = 'messages_per_s' AND source IN ('head-end', 'database'))
    / nullif(min(value) FILTER (WHERE metric = 'ceiling_messages_per_s'), 0),
    max(value) FILTER (WHERE metric = 'rows_per_s' AND source IN ('head-end', 'database'))
    / nullif(min(value) FILTER (WHERE metric = 'ceiling_rows_per_s'), 0)
) * 100 AS of_ceiling
FROM load_test_sample
WHERE run = ${run:sqlstring}
