-- Null where nothing is due.
SELECT max(on_time_share) AS success_rate FROM read_figure($__timeFrom(), $__timeTo())
