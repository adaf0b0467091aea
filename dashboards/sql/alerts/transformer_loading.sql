-- The highest of all transformers, in per cent of the rated power.
SELECT coalesce(max(m.loading_percent), 0) AS value
FROM transformer_energy m
WHERE $__timeFilter(m.interval_start)
