-- Customers of whom a phase was outside ±10 % of the nominal voltage.
SELECT count(DISTINCT meter_id) AS value
FROM phase_voltage
WHERE $__timeFilter(interval_start) AND of_nominal_percent NOT BETWEEN 90 AND 110
