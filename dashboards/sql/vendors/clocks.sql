-- By the meters' own marks.
SELECT
    v.vendor_profile AS vendor,
    v.meters,
    count(DISTINCT c.meter_id) FILTER (WHERE c.clock_invalid) AS invalid_meters,
    count(*) FILTER (WHERE c.clock_invalid) AS invalid_intervals,
    count(DISTINCT c.meter_id) FILTER (WHERE c.clock_adjusted) AS adjusted_meters,
    count(*) FILTER (WHERE c.clock_adjusted) AS adjusted_intervals
FROM (SELECT vendor_profile, count(*) AS meters FROM end_device GROUP BY 1) v
LEFT JOIN clock_doubt c ON c.vendor_profile = v.vendor_profile AND $__timeFilter(c.interval_start)
GROUP BY 1, 2
ORDER BY 1
