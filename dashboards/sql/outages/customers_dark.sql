WITH share AS (
    SELECT
        greatest(dark_from, $__timeFrom()::timestamptz) AS from_at,
        least(coalesce(dark_to, $__timeTo()::timestamptz), $__timeTo()::timestamptz) AS to_at
    FROM dark_customer
    WHERE dark_from <= $__timeTo()::timestamptz AND (dark_to IS NULL OR dark_to >= $__timeFrom()::timestamptz)
), change AS (
    SELECT from_at AS at, count(*) AS by FROM share GROUP BY 1
    UNION ALL
    SELECT to_at, -count(*) FROM share WHERE to_at < $__timeTo()::timestamptz GROUP BY 1
    UNION ALL
    SELECT $__timeFrom()::timestamptz, 0
    UNION ALL
    SELECT $__timeTo()::timestamptz, 0
), summed AS (
    SELECT at, sum(by) AS by FROM change GROUP BY at
)
SELECT at AS "time", sum(by) OVER (ORDER BY at) AS customers FROM summed ORDER BY at
