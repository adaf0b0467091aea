SELECT hour_s AS "time", delivered_wh AS delivered, metered_wh AS metered, lost_wh AS lost
FROM transformer_loss($__timeFrom(), $__timeTo())
WHERE transformer = ${transformer:sqlstring}
ORDER BY 1
