-- The lowest voltage of the range at each customer of the feeder, against the nominal one.
SELECT latitude, longitude, usage_point AS name, min(of_nominal_percent) AS value, transformer
FROM phase_voltage
WHERE $__timeFilter(interval_start) AND latitude IS NOT NULL AND longitude IS NOT NULL
GROUP BY usage_point, latitude, longitude, transformer
