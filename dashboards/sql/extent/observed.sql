-- From when to when there is something to see, on the head-end's clock.
SELECT
    min(d.registered_at) AS begins,
    greatest(
        max(d.registered_at),
        (SELECT max(received_at) FROM device_state),
        (SELECT max(at) FROM device_communication),
        (
            -- Who is polled has no state of a connection.
            SELECT max(r.interval_start) FROM transformer_meter t CROSS JOIN LATERAL (
                SELECT n.interval_start FROM network_reading n WHERE n.meter_id = t.meter_id
                ORDER BY n.interval_start DESC LIMIT 1
            ) r
        )
    ) AS ends
FROM end_device d
