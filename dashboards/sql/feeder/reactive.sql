-- Below the transformer, by the meters that count reactive energy.
SELECT
    $__timeGroupAlias(interval_start, $__interval),
    sum(reactive_import_varh) AS imported,
    -sum(reactive_export_varh) AS exported
FROM metered_reactive_energy
WHERE transformer = ${transformer:sqlstring} AND $__timeFilter(interval_start)
GROUP BY 1
ORDER BY 1
