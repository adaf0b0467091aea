-- The lowest voltage of the range at each customer of the feeder, against the nominal one.
SELECT
    u.latitude,
    u.longitude,
    u.usage_point AS name,
    min(v.volts / coalesce(u.nominal_voltage_v, 230)) * 100 AS value,
    u.transformer
FROM network_usage_point u
JOIN end_device d USING (usage_point)
JOIN network_reading r ON r.meter_id = d.id
CROSS JOIN LATERAL (VALUES (r.voltage_l1_v), (r.voltage_l2_v), (r.voltage_l3_v)) AS v (volts)
WHERE $__timeFilter(r.interval_start) AND v.volts > 0 AND u.latitude IS NOT NULL AND u.longitude IS NOT NULL
GROUP BY u.usage_point
