-- A range of which nothing is due is one of zeroes.
SELECT
    coalesce(sum(expected), 0)::bigint AS expected,
    coalesce(sum(received), 0)::bigint AS received,
    coalesce(sum(late), 0)::bigint AS late,
    coalesce(sum(estimated), 0)::bigint AS estimated,
    coalesce(sum(missing), 0)::bigint AS missing
FROM read_figure($__timeFrom(), $__timeTo())
