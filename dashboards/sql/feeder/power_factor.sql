-- Of the energies that its customers' meters recorded.
SELECT
    $__timeGroupAlias(interval_start, $__interval),
    abs(sum(energy_wh))::float8 / nullif(sqrt(
        sum(energy_wh)::float8 ^ 2 + (sum(reactive_import_varh) - sum(reactive_export_varh))::float8 ^ 2
    ), 0) AS power_factor
FROM metered_reactive_energy
WHERE transformer = ${transformer:sqlstring} AND $__timeFilter(interval_start)
GROUP BY 1
ORDER BY 1
