-- At the customers of the transformer, each phase by itself, against their nominal voltage.
SELECT
    $__timeGroupAlias(r.interval_start, $__interval),
    min(v.volts / coalesce(u.nominal_voltage_v, 230)) * 100 AS lowest,
    avg(v.volts / coalesce(u.nominal_voltage_v, 230)) * 100 AS mean,
    max(v.volts / coalesce(u.nominal_voltage_v, 230)) * 100 AS highest
FROM network_usage_point u
JOIN end_device d USING (usage_point)
JOIN network_reading r ON r.meter_id = d.id
CROSS JOIN LATERAL (VALUES (r.voltage_l1_v), (r.voltage_l2_v), (r.voltage_l3_v)) AS v (volts)
WHERE u.transformer = ${transformer:sqlstring} AND $__timeFilter(r.interval_start) AND v.volts > 0
GROUP BY 1
ORDER BY 1
