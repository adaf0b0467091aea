-- The one with the most meters first.
SELECT u.transformer
FROM network_usage_point u
JOIN end_device d USING (usage_point)
WHERE u.transformer IS NOT NULL
GROUP BY 1
ORDER BY count(*) DESC, 1
