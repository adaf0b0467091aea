SELECT
    m.transformer,
    max(m.loading_percent) AS highest,
    avg(m.loading_percent) AS mean
FROM transformer_energy m
WHERE $__timeFilter(m.interval_start)
GROUP BY 1
ORDER BY 2 DESC
LIMIT 40
