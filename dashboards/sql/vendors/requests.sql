-- Requests of the range, by what became of them. Polled meters cannot be asked: they have none.
SELECT
    v.vendor_profile AS vendor,
    coalesce(sum(r.answered), 0) AS answered,
    coalesce(sum(r.expired), 0) AS expired,
    coalesce(sum(r.refused), 0) AS refused,
    coalesce(sum(r.open), 0) AS open
FROM (SELECT DISTINCT vendor_profile FROM end_device) v
LEFT JOIN request_outcome r ON r.vendor_profile = v.vendor_profile AND $__timeFilter(r.issued_at)
GROUP BY 1
ORDER BY 1
