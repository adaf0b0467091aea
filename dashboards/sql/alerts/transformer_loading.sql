-- The highest of all transformers, in per cent of the rated current.
SELECT coalesce(max(m.loading_percent), 0) AS value
FROM transformer_measurement m
WHERE $__timeFilter(m.interval_start)
