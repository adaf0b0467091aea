-- At the customers of the transformer, the mean of those that are connected to the phase.
SELECT
    $__timeGroupAlias(interval_start, $__interval),
    avg(of_nominal_percent) FILTER (WHERE phase = 1) AS l1,
    avg(of_nominal_percent) FILTER (WHERE phase = 2) AS l2,
    avg(of_nominal_percent) FILTER (WHERE phase = 3) AS l3
FROM phase_voltage
WHERE transformer = ${transformer:sqlstring} AND $__timeFilter(interval_start)
GROUP BY 1
ORDER BY 1
