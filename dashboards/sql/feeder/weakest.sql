-- Where voltage was lowest in the range.
SELECT
    v.usage_point,
    d.serial,
    v.transformer,
    min(v.volts) AS lowest_v,
    min(v.of_nominal_percent) AS lowest_percent,
    max(v.of_nominal_percent) AS highest_percent
FROM phase_voltage v
JOIN end_device d ON d.id = v.meter_id
WHERE $__timeFilter(v.interval_start)
GROUP BY v.usage_point, d.serial, v.transformer
ORDER BY lowest_percent
LIMIT 20
