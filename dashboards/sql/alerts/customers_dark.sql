SELECT count(DISTINCT p.meter_id) AS value
FROM outage_usage_point p
JOIN outage o ON o.id = p.outage_id
WHERE o.withdrawn_at IS NULL AND o.ended_at IS NULL AND p.dark_to IS NULL
