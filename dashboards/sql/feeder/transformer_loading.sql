SELECT $__timeGroupAlias(m.interval_start, $__interval), max(m.loading_percent) AS loading
FROM transformer_energy m
WHERE m.transformer = ${transformer:sqlstring} AND $__timeFilter(m.interval_start)
GROUP BY 1
ORDER BY 1
