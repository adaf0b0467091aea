-- At the customers of the transformer, each phase by itself.
SELECT
    $__timeGroupAlias(interval_start, $__interval),
    min(of_nominal_percent) AS lowest,
    avg(of_nominal_percent) AS mean,
    max(of_nominal_percent) AS highest
FROM phase_voltage
WHERE transformer = ${transformer:sqlstring} AND $__timeFilter(interval_start)
GROUP BY 1
ORDER BY 1
