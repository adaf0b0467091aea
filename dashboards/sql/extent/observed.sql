-- From when to when there is something to see, on the head-end's clock.
SELECT
    min(d.registered_at) AS begins,
    greatest(
        max(d.registered_at),
        (SELECT max(received_at) FROM device_state),
        (SELECT max(at) FROM device_communication),
        (SELECT max(interval_start) FROM transformer_measurement)
    ) AS ends
FROM end_device d
