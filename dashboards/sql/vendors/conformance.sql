WITH letter AS (
    SELECT vendor_profile, sum(messages) AS dead_letters
    FROM dead_letter_origin
    WHERE $__timeFilter(received_at)
    GROUP BY 1
), unbelieved AS (
    SELECT vendor_profile, count(*) AS implausible
    FROM implausible_interval
    WHERE $__timeFilter(interval_start)
    GROUP BY 1
), poll AS (
    SELECT vendor_profile, sum(refused) AS refused, sum(unanswered) AS unanswered
    FROM poll_result
    WHERE $__timeFilter(boundary)
    GROUP BY 1
)
SELECT
    v.vendor_profile AS vendor,
    v.meters,
    coalesce(f.expected, 0) AS expected,
    f.on_time_share * 100 AS on_time_percent,
    f.received_share * 100 AS received_percent,
    f.estimated_share * 100 AS estimated_percent,
    coalesce(f.missing, 0) AS missing,
    coalesce(f.dark, 0) AS dark,
    coalesce(f.no_record, 0) AS no_record,
    coalesce(f.recovered, 0) AS recovered,
    coalesce(f.revised, 0) AS revised,
    coalesce(unbelieved.implausible, 0) AS implausible,
    coalesce(poll.refused, 0) AS polls_refused,
    coalesce(poll.unanswered, 0) AS polls_unanswered,
    coalesce(letter.dead_letters, 0) AS dead_letters
FROM (SELECT vendor_profile, count(*) AS meters FROM end_device GROUP BY 1) v
LEFT JOIN read_figure($__timeFrom(), $__timeTo(), NULL, true) f USING (vendor_profile)
LEFT JOIN unbelieved USING (vendor_profile)
LEFT JOIN poll USING (vendor_profile)
LEFT JOIN letter USING (vendor_profile)
ORDER BY 1
