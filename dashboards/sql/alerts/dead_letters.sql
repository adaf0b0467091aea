SELECT count(*) AS value FROM dead_letter WHERE $__timeFilter(received_at)
