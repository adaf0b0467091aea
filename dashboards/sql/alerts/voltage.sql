-- Customers of whom a phase was outside ±10 % of the nominal voltage.
SELECT count(DISTINCT r.meter_id) AS value
FROM network_usage_point u
JOIN end_device d USING (usage_point)
JOIN network_reading r ON r.meter_id = d.id
CROSS JOIN LATERAL (VALUES (r.voltage_l1_v), (r.voltage_l2_v), (r.voltage_l3_v)) AS v (volts)
WHERE $__timeFilter(r.interval_start) AND v.volts > 0
    AND v.volts / coalesce(u.nominal_voltage_v, 230) NOT BETWEEN 0.9 AND 1.1
