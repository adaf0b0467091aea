SELECT
    d.usage_point,
    d.serial,
    d.vendor_profile AS vendor,
    u.transformer,
    d.interval_length_s,
    d.report_every_s,
    l.interval_start AS last_interval,
    l.import_register_wh,
    CASE WHEN s.online THEN 'reachable' WHEN NOT s.online THEN 'unreachable' ELSE 'unknown' END AS communication
FROM end_device d
LEFT JOIN network_usage_point u USING (usage_point)
LEFT JOIN last_reading l ON l.meter_id = d.id
LEFT JOIN device_state s ON s.meter_id = d.id
WHERE d.usage_point = ${usage_point:sqlstring}
