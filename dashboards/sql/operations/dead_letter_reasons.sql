WITH letter AS (
    SELECT reason, sum(messages) AS dead_letters, max(received_at) AS last_at
    FROM dead_letter_origin
    WHERE $__timeFilter(received_at)
    GROUP BY reason
)
SELECT reason, dead_letters, last_at FROM letter
UNION ALL
SELECT 'none', 0, NULL WHERE NOT EXISTS (SELECT FROM letter)
ORDER BY dead_letters DESC, reason
LIMIT 50
