-- Of the intervals that are owed, those that did not come by their deadline, in per cent.
SELECT coalesce(max(100 - on_time_share * 100), 0) AS value FROM read_figure($__timeFrom(), $__timeTo())
