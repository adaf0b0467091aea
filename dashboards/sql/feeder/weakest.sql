-- Where voltage was lowest in the range.
SELECT
    u.usage_point,
    d.serial,
    u.transformer,
    min(v.volts) AS lowest_v,
    min(v.volts / coalesce(u.nominal_voltage_v, 230)) * 100 AS lowest_percent,
    max(v.volts / coalesce(u.nominal_voltage_v, 230)) * 100 AS highest_percent
FROM network_usage_point u
JOIN end_device d USING (usage_point)
JOIN network_reading r ON r.meter_id = d.id
CROSS JOIN LATERAL (VALUES (r.voltage_l1_v), (r.voltage_l2_v), (r.voltage_l3_v)) AS v (volts)
WHERE $__timeFilter(r.interval_start) AND v.volts > 0
GROUP BY u.usage_point, d.serial
ORDER BY lowest_percent
LIMIT 20
