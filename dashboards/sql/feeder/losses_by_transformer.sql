SELECT
    transformer,
    max(meters) AS meters,
    count(*) AS hours,
    sum(delivered_wh) AS delivered_wh,
    sum(metered_wh) AS metered_wh,
    sum(lost_wh) AS lost_wh,
    sum(lost_wh) / nullif(sum(delivered_wh), 0) * 100 AS lost_percent
FROM transformer_loss($__timeFrom(), $__timeTo())
GROUP BY 1
ORDER BY lost_percent DESC NULLS LAST
LIMIT 200
