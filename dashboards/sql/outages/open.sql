-- At the end of the range.
SELECT
    count(DISTINCT outage) AS open_outages,
    count(DISTINCT meter_id) FILTER (
        WHERE dark_from <= $__timeTo()::timestamptz AND (dark_to IS NULL OR dark_to > $__timeTo()::timestamptz)
    ) AS customers_dark
FROM dark_customer
WHERE began_at <= $__timeTo()::timestamptz AND (ended_at IS NULL OR ended_at > $__timeTo()::timestamptz)
