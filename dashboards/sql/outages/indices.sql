-- IEEE 1366, over the UTC days of the range.
SELECT
    coalesce(sum(saidi_min), 0) AS saidi_min,
    coalesce(sum(saifi), 0) AS saifi,
    coalesce(sum(saidi_min) / nullif(sum(saifi), 0), 0) AS caidi_min,
    coalesce(sum(maifi), 0) AS maifi
FROM reliability_indices
WHERE day BETWEEN ($__timeFrom()::timestamptz AT TIME ZONE 'UTC')::date
    AND ($__timeTo()::timestamptz AT TIME ZONE 'UTC')::date
