SELECT coalesce(sum(messages), 0) AS value FROM dead_letter_origin WHERE $__timeFilter(received_at)
