SELECT vendor_profile AS vendor, reachable_share * 100 AS reachable_percent FROM reachability ORDER BY 1
