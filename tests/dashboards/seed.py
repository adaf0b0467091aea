"""Ten days of a small utility, made by SQL alone, so that every edition of the database can hold it.

30 meters that report each quarter of an hour, 24 that report blocks of four hours, 6 that are polled; two transformers;
late, lost, estimated and revised intervals; a sustained, a momentary and an open outage on the last two days, in which
some meters could not measure, or not deliver.
"""

from datetime import UTC, datetime, timedelta

import psycopg

BEGINS = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 10
ENDS = BEGINS + timedelta(days=DAYS)
LAST_DAY = (ENDS - timedelta(days=1), ENDS)
METERS = 60

SEED = """
INSERT INTO network_device (id, kind, parent, longitude, latitude, rated_kva) VALUES
    ('transformer:T1', 'transformer', NULL, 7.88, 48.46, 400),
    ('transformer:T2', 'transformer', NULL, 7.89, 48.47, 250),
    ('line:L1', 'line', 'transformer:T1', 7.881, 48.461, NULL);

INSERT INTO end_device (serial, vendor_profile, usage_point, device_group, registered_at, interval_length_s,
    report_every_s)
SELECT 'M' || n, vendor, 'UP' || n, 'g', TIMESTAMPTZ '2026-01-01 00:00Z', 900,
    CASE vendor WHEN 'sparkplug-mesh' THEN 14400 ELSE 900 END
FROM generate_series(1, 60) n,
    LATERAL (SELECT CASE WHEN n <= 30 THEN 'rl-dsp' WHEN n <= 54 THEN 'sparkplug-mesh' ELSE 'sdm630' END AS vendor) v
ORDER BY n;

-- 24 meters behind two collectors, 6 polled ones behind a gateway.
UPDATE end_device SET address = CASE WHEN id > 54 THEN 'gateway:502/' || id WHEN id % 2 = 0 THEN 'C1' ELSE 'C2' END
WHERE id > 30;
INSERT INTO traffic
SELECT TIMESTAMPTZ '2026-01-10 00:00Z' + n * interval '1 hour', carrier, messages, 100 * messages
FROM generate_series(0, 23) n, (VALUES ('', 120), ('C1', 12), ('C2', 24)) c (carrier, messages);

INSERT INTO network_usage_point
SELECT 'UP' || n, 'service:UP' || n, CASE WHEN n % 2 = 0 THEN 'transformer:T1' ELSE 'transformer:T2' END,
    7.88 + n * 0.0001, 48.46 + n * 0.0001, 230.9
FROM generate_series(1, 60) n;

-- On the last day from noon to 13:00 meter 7 says nothing, meter 9 has no record, meters 10 and 12 are dark, meter 21
-- is late, and meter 55 estimated. Meters 10 and 12 bring 11:45, which they could not before, at 13:10 and at 13:30.
-- Meter 4 is dark from 22:00 on. Meter 56 refuses one poll, its gateway does not reach it for another.
INSERT INTO interval_reading (meter_id, interval_length_s, interval_start, device_time, received_at, committed_at,
    import_register_wh, export_register_wh, import_wh, export_wh, voltage_l1_v, voltage_l2_v, voltage_l3_v, status,
    reactive_q1_varh, reactive_q2_varh, reactive_q3_varh, reactive_q4_varh, current_l1_a, current_l2_a, current_l3_a,
    active_power_l1_w, active_power_l2_w, active_power_l3_w, power_factor_l1, power_factor_l2, power_factor_l3,
    max_demand_import_w, max_demand_at, revision, quality, origin)
SELECT d.id, 900, slot.at, slot.at + interval '15 minutes', told.at, told.at + interval '40 milliseconds',
    1000 * d.id + 100 * slot.number, 0, 100 + d.id % 7, 0, 231 - d.id / 10.0, 230,
    CASE WHEN d.id % 3 = 0 THEN 0 ELSE 229 END,
    CASE WHEN d.id = 5 AND hidden.is THEN 1 WHEN d.id IN (6, 8) AND hidden.is THEN 2 ELSE 0 END,
    CASE WHEN d.id < 55 THEN 40 END, CASE WHEN d.id = 2 THEN 7 WHEN d.id < 55 THEN 0 END,
    CASE WHEN d.id = 2 THEN 3 WHEN d.id < 55 THEN 0 END,
    CASE WHEN d.id < 55 THEN 10 END, 0.6, 0.7, 0.8, 140, 150, 160, 0.96, 0.97, 0.98,
    CASE WHEN d.id < 55 THEN 500 + slot.number END, CASE WHEN d.id < 55 THEN slot.at END, 0,
    CASE WHEN d.id = 55 AND hidden.is THEN 1 ELSE 0 END, CASE WHEN d.id = 21 AND hidden.is THEN 1 ELSE 0 END
FROM (
    SELECT TIMESTAMPTZ '2026-01-01 00:00Z' + number * interval '15 minutes' AS at, number
    FROM generate_series(0, 10 * 96 - 1) number
) slot
CROSS JOIN end_device d
CROSS JOIN LATERAL (
    SELECT slot.at >= TIMESTAMPTZ '2026-01-10 12:00Z' AND slot.at < TIMESTAMPTZ '2026-01-10 13:00Z' AS is
) hidden
CROSS JOIN LATERAL (
    SELECT to_timestamp(ceil((extract(epoch FROM slot.at) + 900) / d.report_every_s) * d.report_every_s)
        + CASE
            WHEN d.id = 21 AND hidden.is THEN interval '40 minutes'
            WHEN d.id = 10 AND slot.at = TIMESTAMPTZ '2026-01-10 11:45Z' THEN interval '70 minutes'
            WHEN d.id = 12 AND slot.at = TIMESTAMPTZ '2026-01-10 11:45Z' THEN interval '90 minutes'
            ELSE interval '3 seconds'
        END AS at
) told
WHERE NOT (d.id IN (7, 9, 10, 12) AND hidden.is) AND NOT (d.id = 4 AND slot.at >= TIMESTAMPTZ '2026-01-10 22:00Z')
ORDER BY slot.at, d.id;

INSERT INTO interval_reading (meter_id, interval_length_s, interval_start, device_time, received_at, committed_at,
    import_wh, import_correction_wh, revision, quality, origin)
SELECT meter_id, interval_length_s, interval_start, device_time, received_at + interval '1 hour',
    committed_at + interval '1 hour', import_wh + 5, 5, 1, 2, 0
FROM interval_reading WHERE meter_id = 3 AND interval_start = '2026-01-10 06:00Z';

INSERT INTO interval_gap
SELECT 9, at, 900, 'no_record', 'c', TIMESTAMPTZ '2026-01-10 13:30Z'
FROM generate_series(TIMESTAMPTZ '2026-01-10 12:00Z', '2026-01-10 12:45Z', interval '15 minutes') at;

INSERT INTO register_reading
SELECT n, at, at, 0, 0, 0, 230, 230, 230, at
FROM generate_series(55, 60) n,
    generate_series(TIMESTAMPTZ '2026-01-01 00:15Z', '2026-01-10 23:45Z', interval '15 minutes') at
WHERE NOT (n = 56 AND at IN ('2026-01-10 08:00Z', '2026-01-10 08:15Z'))
    AND NOT (n = 55 AND at >= '2026-01-10 12:15Z' AND at < '2026-01-10 13:00Z')
ORDER BY at, n;
INSERT INTO poll_failure VALUES
    (56, '2026-01-10 08:00Z', 'illegal_data_address', 2, '2026-01-10 08:00:01Z'),
    (56, '2026-01-10 08:15Z', 'gateway_target_failed', 11, '2026-01-10 08:15:01Z'),
    (55, '2026-01-10 12:15Z', 'no_answer', NULL, '2026-01-10 12:15:09Z'),
    (55, '2026-01-10 12:30Z', 'no_connection', NULL, '2026-01-10 12:30:09Z'),
    (55, '2026-01-10 12:45Z', 'bad_value', NULL, '2026-01-10 12:45:09Z');

INSERT INTO command (id, meter_id, purpose, params, counter, requested_by, requested_at, not_before, expires_at,
    status, finished_at)
SELECT gen_random_uuid(), n, 'load_profile.read', '{}', n, 'recovery', TIMESTAMPTZ '2026-01-10 13:05Z',
    '2026-01-10 13:00Z', '2026-01-10 13:15Z',
    (ARRAY['completed', 'completed', 'expired', 'refused', 'sent'])[n % 5 + 1],
    CASE WHEN n % 5 < 4 THEN TIMESTAMPTZ '2026-01-10 13:06Z' END
FROM generate_series(1, 40) n;

INSERT INTO dead_letter (id, received_at, topic, payload, reason, detail)
SELECT gen_random_uuid(), TIMESTAMPTZ '2026-01-10 09:00Z' + n * interval '1 minute', 'dt/g/M' || n || '/ds', 'x',
    CASE WHEN n % 3 = 0 THEN 'not_json' ELSE 'unknown_meter' END, 'd'
FROM generate_series(1, 12) n;

INSERT INTO end_device_event (meter_id, sequence, code, device_time, detail, received_at, committed_at)
SELECT n, 1, 'power_down', TIMESTAMPTZ '2026-01-10 12:00Z', '{}', '2026-01-10 12:00:05Z', '2026-01-10 12:00:05Z'
FROM generate_series(1, 20) n;

INSERT INTO end_device_event (meter_id, sequence, code, device_time, detail, received_at, committed_at) VALUES
    (2, 2, 'voltage_sag', '2026-01-10 09:00Z', '{"phase": "L2", "lowest_v": 184.72, "duration_s": 42}',
        '2026-01-10 09:00:05Z', '2026-01-10 09:00:05Z'),
    (3, 2, 'voltage_swell', '2026-01-10 10:00Z', '{"phase": "L1", "highest_v": 265.5, "duration_s": 8}',
        '2026-01-10 10:00:05Z', '2026-01-10 10:00:05Z'),
    (4, 2, 'voltage_sag', '2026-01-10 08:00Z', '{"phase": 7, "lowest_v": "low", "duration_s": {}}',
        '2026-01-10 08:00:05Z', '2026-01-10 08:00:05Z');

-- Of twenty restorations one is as late as a minute.
INSERT INTO end_device_event (meter_id, sequence, code, device_time, detail, received_at, committed_at)
SELECT n, 3, 'power_restore', TIMESTAMPTZ '2026-01-10 13:00Z', '{}', came.at, came.at
FROM generate_series(1, 20) n, LATERAL (SELECT TIMESTAMPTZ '2026-01-10 13:00Z'
    + make_interval(secs => CASE n WHEN 20 THEN 60 ELSE 3 END) AS at) came;

INSERT INTO device_state SELECT n, n % 10 <> 0, 1, NULL, '2026-01-10 23:59:59Z' FROM generate_series(1, 54) n;
INSERT INTO device_communication SELECT n, '2026-01-01 00:00Z', true FROM generate_series(1, 54) n;
INSERT INTO device_communication SELECT n, '2026-01-10 18:00Z', false FROM generate_series(10, 50, 10) n;
INSERT INTO collector VALUES ('g', 'C1', true, 1, 24, '2026-01-01 00:00Z', '2026-01-01 00:00Z'),
    ('g', 'C2', false, 1, 3, '2026-01-01 00:00Z', '2026-01-10 18:00Z');

INSERT INTO interruption (meter_id, down_at, up_at, gasp_received_at, restore_received_at, pending)
SELECT 2 * n, '2026-01-10 12:00Z', '2026-01-10 13:00Z', '2026-01-10 12:00:05Z', '2026-01-10 13:00:05Z', false
FROM generate_series(1, 10) n;
INSERT INTO outage (reported_from, began_at, ended_at, device, device_kind, equivalent_devices, detected_at, revised_at)
VALUES
    ('2026-01-10 12:00Z', '2026-01-10 12:00Z', '2026-01-10 13:00Z', 'transformer:T1', 'transformer', '{}',
        '2026-01-10 12:00:25Z', '2026-01-10 13:00:30Z'),
    ('2026-01-09 03:00Z', '2026-01-09 03:00Z', '2026-01-09 03:02Z', 'line:L1', 'line', '{}', '2026-01-09 03:00:25Z',
        '2026-01-09 03:02Z'),
    ('2026-01-10 22:00Z', '2026-01-10 22:00Z', NULL, NULL, NULL, '{}', '2026-01-10 22:00:25Z', '2026-01-10 22:00:25Z');
INSERT INTO outage_usage_point
SELECT 1, 2 * n, TIMESTAMPTZ '2026-01-10 12:00Z', TIMESTAMPTZ '2026-01-10 13:00Z', TIMESTAMPTZ '2026-01-10 12:00:05Z',
    TIMESTAMPTZ '2026-01-10 13:00:05Z' FROM generate_series(1, 10) n
UNION ALL SELECT 2, n, '2026-01-09 03:00Z', '2026-01-09 03:02Z', NULL, '2026-01-09 03:02:05Z'
FROM generate_series(1, 5) n
UNION ALL SELECT 3, 4, '2026-01-10 22:00Z', NULL, '2026-01-10 22:00:05Z', NULL;

-- The meters of the transformers, 61 and 62, are registered last: what they owe is not counted with the others'.
INSERT INTO end_device (serial, vendor_profile, usage_point, device_group, registered_at, interval_length_s,
    report_every_s, max_current_a)
SELECT 'T' || t, 'sdm630', 'transformer:T' || t, 'g', TIMESTAMPTZ '2026-01-11 00:00Z', 900, 900, 1000
FROM generate_series(1, 2) t ORDER BY t;
INSERT INTO interval_reading (meter_id, interval_length_s, interval_start, device_time, received_at, committed_at,
    import_wh, export_wh, reactive_q1_varh, reactive_q2_varh, reactive_q3_varh, reactive_q4_varh, revision, quality,
    origin)
SELECT d.id, 900, slot.at, ended.at, ended.at, ended.at, 3214, 0, 2410, 0, 0, 0, 0, 0, 0
FROM end_device d
CROSS JOIN generate_series(TIMESTAMPTZ '2026-01-01 00:00Z', '2026-01-10 23:45Z', interval '15 minutes') slot (at)
CROSS JOIN LATERAL (SELECT slot.at + interval '15 minutes' AS at) ended
WHERE d.serial IN ('T1', 'T2')
ORDER BY slot.at, d.id;

INSERT INTO load_test_sample
SELECT 'ramp-1', TIMESTAMPTZ '2026-01-10 10:00Z' + n * interval '1 second', source, metric, 100 + n
FROM generate_series(0, 59) n, (VALUES
    ('generator', 'offered_messages_per_s'), ('client', 'messages_per_s'), ('head-end', 'messages_per_s'),
    ('database', 'rows_per_s'), ('database', 'ceiling_rows_per_s'), ('head-end', 'ceiling_messages_per_s'),
    ('client', 'p50_ms'), ('client', 'p95_ms'), ('client', 'p99_ms'), ('head-end', 'p95_ms'), ('client', 'users'),
    ('client', 'errors_per_s'), ('head-end', 'pending_messages'), ('generator', 'lag_ms'),
    ('generator', 'lag_limit_ms'),
    ('generator', 'cpu_percent'), ('head-end', 'cpu_percent'), ('database', 'cpu_percent')
) AS m (source, metric)
"""


def seed(connection: psycopg.Connection) -> None:
    """Into a migrated schema without meters."""
    for statement in SEED.split(";\n"):
        connection.execute(statement.encode())
    # What autovacuum would have done in ten days.
    connection.execute("VACUUM ANALYZE")
