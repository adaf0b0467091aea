-- From the end of an interval to its commit, on the head-end's clock.
SELECT
    $__timeGroupAlias(r.interval_start, $__interval),
    percentile_cont(0.5) WITHIN GROUP (ORDER BY age.seconds) AS p50,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY age.seconds) AS p95,
    max(age.seconds) AS max
FROM network_reading r
CROSS JOIN LATERAL (
    SELECT extract(epoch FROM r.committed_at - r.interval_start)::float8 - r.interval_length_s AS seconds
) age
WHERE $__timeFilter(r.interval_start) AND r.revision = 0 AND r.quality <> 1
GROUP BY 1
ORDER BY 1
