SELECT d.id
FROM network_device d
WHERE d.kind = 'transformer' AND EXISTS (SELECT FROM network_usage_point u WHERE u.transformer = d.id)
ORDER BY 1
