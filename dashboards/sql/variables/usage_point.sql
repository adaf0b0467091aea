SELECT usage_point FROM end_device ORDER BY 1
