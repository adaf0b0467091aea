SELECT to_char(day.at, 'YYYY-MM-DD') AS day, coalesce(r.saidi_min, 0) AS saidi_min
FROM generate_series(
    ($__timeFrom()::timestamptz AT TIME ZONE 'UTC')::date, ($__timeTo()::timestamptz AT TIME ZONE 'UTC')::date,
    interval '1 day'
) AS day (at)
LEFT JOIN reliability_indices r ON r.day = day.at::date
ORDER BY 1
