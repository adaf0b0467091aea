-- Requests of the range, by what became of them. Polled meters cannot be asked: they have none.
SELECT
    v.vendor_profile AS vendor,
    count(c.id) FILTER (WHERE c.status = 'answered') AS answered,
    count(c.id) FILTER (WHERE c.status = 'expired') AS expired,
    count(c.id) FILTER (WHERE c.status = 'refused') AS refused,
    count(c.id) FILTER (WHERE c.status = 'issued') AS open
FROM end_device v
LEFT JOIN command c ON c.meter_id = v.id AND $__timeFilter(c.issued_at)
GROUP BY 1
ORDER BY 1
