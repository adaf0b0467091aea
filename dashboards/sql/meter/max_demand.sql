-- The register of the newest interval of the time range that has one.
WITH newest AS (
    SELECT r.max_demand_import_w, r.max_demand_at
    FROM interval_reading r
    JOIN end_device d ON d.id = r.meter_id
    WHERE d.usage_point = ${usage_point:sqlstring} AND $__timeFilter(r.interval_start)
        AND r.max_demand_import_w IS NOT NULL
    ORDER BY r.interval_start DESC, r.revision DESC
    LIMIT 1
)
SELECT max_demand_import_w AS demand_w, max_demand_at AS ended_at FROM newest
UNION ALL
SELECT NULL, NULL WHERE NOT EXISTS (SELECT FROM newest)
